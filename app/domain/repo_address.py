"""Which addresses of repositories are taken (promise S12). Pure but for the resolver that the caller hands in.

The address is taken apart once, checked, and put together again from the checked parts: what is cloned is what was
checked, never the text that came in. The sandbox clones it later; an operator's allow-list is the rule, and `*` admits
every address that is public.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote, unquote, urlsplit

from app.errors import Invalid

Resolver = Callable[[str], Iterable[str]]
"""Returns the IP addresses of a host name; raises OSError where there are none."""

PORTS = {"https": 443, "ssh": 22}
LONGEST = 2048
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\Z")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
_SCP_FORM = re.compile(r"(?P<user>[A-Za-z0-9._-]+)@(?P<host>[A-Za-z0-9.-]+):(?P<path>[^:/\\][^:\\]*)\Z")
_REF = re.compile(r"(?!-)(?!.*\.\.)(?!.*@\{)[^\x00-\x20~^:?*\[\\\x7f]{1,255}(?<!/)(?<!\.lock)\Z")
_REMEDY = (
    "Give an https:// or ssh:// address of a host that the operator admits (PADDOCK_REPO_HOSTS), or upload a bundle."
)


def check(url: str, allowed_hosts: str, resolve: Resolver) -> str:
    """Return the normalised address of a repository that may be cloned; raises Invalid `repo_address_refused`.

    `allowed_hosts` is comma-separated; `*` admits all hosts whose every address is public.
    """
    scheme, user, host, path = _parts(url)
    allowed = {name.strip().lower() for name in allowed_hosts.split(",") if name.strip()}
    if host not in allowed:
        if "*" not in allowed:
            raise _refused(f"The host {host} is not among those that repositories may come from.")
        _require_public(host, resolve)
    return f"{scheme}://{user}{host}/{path}"


def check_ref(ref: str) -> str:
    """Return a branch, tag or commit name that git takes as nothing else; raises Invalid `repo_ref_invalid`."""
    if not _REF.match(ref):
        raise Invalid("repo_ref_invalid", "This is not a name of a branch, tag or commit.", remedy="Mend `repo.ref`.")
    return ref


def _parts(url: str) -> tuple[str, str, str, str]:
    if len(url) > LONGEST or re.search(r"[\x00-\x20\x7f\\]", url):
        raise _refused("The address is too long, or holds white space, control characters or backslashes.")
    scp = _SCP_FORM.match(url)
    if scp is not None:
        return "ssh", f"{scp['user']}@", _host(scp["host"]), _path(scp["path"])
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise _refused("The address cannot be read.") from None
    if parts.scheme not in PORTS:
        raise _refused("Only https and ssh addresses are taken.")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise _refused("The address must not have a query or a fragment.")
    if port not in (None, PORTS[parts.scheme]):
        raise _refused(f"Only port {PORTS[parts.scheme]} is taken for {parts.scheme}.")
    return parts.scheme, _user(parts.scheme, parts.netloc), _host(host), _path(parts.path)


def _user(scheme: str, netloc: str) -> str:
    user, at, _ = netloc.rpartition("@")
    if not at:
        return ""
    if scheme == "ssh" and re.fullmatch(r"[A-Za-z0-9._-]+", user) and not user.startswith("-"):
        return f"{user}@"
    raise _refused("Names and passwords do not belong into an address.")


def _host(host: str) -> str:
    name = host.lower().rstrip(".")
    if not _HOST.match(name) or _NUMBER.match(name.rpartition(".")[2]):
        raise _refused("The host must be a name, not an address in numbers.")
    return name


def _path(path: str) -> str:
    segments = [unquote(segment) for segment in path.strip("/").split("/")]
    if not all(segments) or any(
        segment in (".", "..") or re.search(r"[\x00-\x1f\x7f/\\]", segment) for segment in segments
    ):
        raise _refused("The path of the address is not that of a repository.")
    if segments[0].startswith("-"):
        raise _refused("The path of the address must not begin with a dash.")
    return "/".join(quote(segment, safe="~@+:") for segment in segments)


def _require_public(host: str, resolve: Resolver) -> None:
    try:
        addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in resolve(host)]
    except (OSError, ValueError):
        addresses = []
    if not addresses:
        raise _refused(f"The host {host} has no address.")
    if not all(_is_public(address) for address in addresses):
        raise _refused(f"The host {host} has an address that is not public.")


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """True for an address out on the internet; one that wraps an IPv4 address is judged by what it wraps."""
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if wrapped is not None:
            return _is_public(wrapped)
        if address in ipaddress.ip_network("64:ff9b::/96"):
            return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast


def _refused(message: str) -> Invalid:
    return Invalid("repo_address_refused", message, remedy=_REMEDY)
