"""Which addresses of repositories are taken (promise S12)."""

from __future__ import annotations

import pytest

from app.domain import repo_address
from app.errors import Invalid

HOSTS = "github.com,git.example"


def public(_: str) -> list[str]:
    return ["140.82.121.3"]


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://github.com/a/b", "https://github.com/a/b"),
        ("https://GitHub.com:443/a/b.git/", "https://github.com/a/b.git"),
        ("https://github.com./a/b", "https://github.com/a/b"),
        ("ssh://git@github.com/a/b.git", "ssh://git@github.com/a/b.git"),
        ("git@github.com:a/b.git", "ssh://git@github.com/a/b.git"),
        ("https://git.example/gr%C3%BCn/b", "https://git.example/gr%C3%BCn/b"),
    ],
)
def test_an_admitted_address_is_put_in_its_normal_form(url: str, normal: str) -> None:
    assert repo_address.check(url, HOSTS, public) == normal


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://github.com/a/b",
        "git://github.com/a/b",
        "file:///etc/passwd",
        "gopher://github.com/a",
        "ext::sh -c id",
        "/srv/repositories/main",
        "../repo",
        "https://github.com",
        "https://github.com/",
        "https://github.com/a/../../b",
        "https://github.com/a/%2e%2e/b",
        "https://github.com/a%2fb/c",
        "https://github.com/a?x=1",
        "https://github.com/a#x",
        "https://github.com:8443/a/b",
        "https://github.com:22/a/b",
        "https://user@github.com/a/b",
        "https://user:secret@github.com/a/b",
        "https://github.com@evil.example/a/b",
        "https://github.com\\@evil.example/a/b",
        "https://github.com\t.evil.example/a",
        "https://github.com\n/a/b",
        "https://evil.example/a/b",
        "https://github.com.evil.example/a/b",
        "ssh://-oProxyCommand=id@github.com/a",
        "ssh://git:pw@github.com/a/b",
        "-oProxyCommand=id@github.com:a/b",
        "git@github.com:-oProxyCommand=id",
        "https://[::1]/a/b",
        "https://[fe80::1%25eth0]/a/b",
        "https://github.com:99999/a",
        "https://" + "a" * 3000 + "/b",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as refused:
        repo_address.check(url, HOSTS, public)

    assert refused.value.code == "repo_address_refused"
    assert refused.value.remedy


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "169.254.169.254",
        "10.0.0.1",
        "[::ffff:7f00:1]",
        "[::ffff:127.0.0.1]",
    ],
)
def test_a_host_in_numbers_is_refused_even_where_every_host_is_admitted(host: str) -> None:
    with pytest.raises(Invalid):
        repo_address.check(f"https://{host}/a/b", "*", public)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",  # noqa: S104 - an address to be refused
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "::1",
        "::",
        "fd00::1",
        "fe80::1%eth0",
        "::ffff:7f00:1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "ff02::1",
    ],
)
def test_a_name_that_leads_inside_is_refused_where_every_host_is_admitted(address: str) -> None:
    for answers in ([address], ["140.82.121.3", address]):
        with pytest.raises(Invalid):
            repo_address.check("https://rebound.example/a/b", "*", lambda _, found=answers: found)


def test_a_public_name_is_taken_where_every_host_is_admitted() -> None:
    assert repo_address.check("https://anywhere.example/a", "*", public) == "https://anywhere.example/a"


def test_a_name_without_an_address_is_refused() -> None:
    def nothing(_: str) -> list[str]:
        raise OSError("no such host")

    with pytest.raises(Invalid):
        repo_address.check("https://nowhere.example/a", "*", nothing)


@pytest.mark.parametrize("ref", ["main", "feature/x-1", "v1.2.3", "0123abcd" * 5, "ünïcode"])
def test_names_of_branches_tags_and_commits_are_taken(ref: str) -> None:
    assert repo_address.check_ref(ref) == ref


@pytest.mark.parametrize(
    "ref", ["", "-x", "--upload-pack=id", "a..b", "a b", "a~1", "a^", "a:b", "a?*[", "x.lock", "a@{1}", "x/"]
)
def test_other_refs_are_refused(ref: str) -> None:
    with pytest.raises(Invalid) as refused:
        repo_address.check_ref(ref)

    assert refused.value.code == "repo_ref_invalid"
