"""The published list of error codes: the status each comes with, what it means, what the caller can do.

`web.errors` takes the remedy from here where the place that raised the error had nothing more exact to say; `/openapi`
shows the list; a test fails when the code raises a word that is not on it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    meaning: str
    remedy: str


PROBLEMS: dict[str, Problem] = {
    # --- the request itself
    "body_malformed": Problem(400, "The body is not what its content type says.", "Send one well-formed JSON object."),
    "cursor_malformed": Problem(422, "The cursor is not one of ours.", "Use `nextCursor` or the last `seq` unchanged."),
    "idempotency_key_missing": Problem(
        400, "A POST with an effect needs an Idempotency-Key.", "Add the header, with a new value per request."
    ),
    "idempotency_key_malformed": Problem(
        400,
        "The key is empty, too long or not plain text.",
        "Use 1 to 255 printable ASCII characters, for example a UUID.",
    ),
    "websocket_expected": Problem(400, "This address speaks WebSocket only.", "Connect with a WebSocket client."),
    "method_not_allowed": Problem(
        405, "This address does not know the method.", "See /openapi for the methods of each address."
    ),
    "not_acceptable": Problem(
        406, "None of the types in Accept can be given.", "Accept application/json or, for streams, text/event-stream."
    ),
    "body_too_large": Problem(
        413, "The body is larger than is taken here.", "Send less, or ask the operator to raise the limit."
    ),
    "patch_too_large": Problem(
        409, "The change is larger than a patch may be here.", "Download the files, or the whole workspace."
    ),
    "unsupported_media_type": Problem(
        415, "The content type is not taken here.", "Send application/json; bundles as application/x-git-bundle."
    ),
    "wrong_host": Problem(
        421,
        "The Host header names another server.",
        "Use the address that `make up` printed, or set PADDOCK_PUBLIC_URL.",
    ),
    "validation_failed": Problem(
        422, "Fields are missing, unknown or of the wrong form.", "Mend the fields that `errors` names."
    ),
    "idempotency_key_reused": Problem(
        422, "The key was used with another body.", "Use a new key for each new request."
    ),
    "idempotency_in_flight": Problem(
        409, "A request with this key is being worked on.", "Send the same request again in a moment."
    ),
    "request_malformed": Problem(
        400, "The request is not well-formed HTTP for this server.", "Look at the request's address and headers."
    ),
    # --- who and whether
    "unauthenticated": Problem(
        401, "No valid credential came with the request.", "Send `Authorization: Bearer <token>`, or log in."
    ),
    "login_failed": Problem(
        401,
        "The token or login link is wrong, used or expired.",
        "Ask for a new link: `paddock login-link`, or check the token.",
    ),
    "permission_missing": Problem(
        403, "The principal's roles do not allow this.", "Ask an owner of the tenant for another role."
    ),
    "origin_refused": Problem(
        403, "The request comes from a page of another origin.", "Use the platform's own pages, or a token."
    ),
    "csrf_failed": Problem(
        403, "The X-CSRF-Token is missing or not this session's.", "Read `csrfToken` from GET /api/me and send it."
    ),
    "not_found": Problem(
        404, "There is no such object, or it is not yours to see.", "Check the id; ids are case-sensitive."
    ),
    "provider_unavailable": Problem(
        429, "The provider fails now.", "Wait as long as Retry-After says, or leave onBusy out: the run waits then."
    ),
    "rate_limited": Problem(429, "Too many requests.", "Wait as long as Retry-After says."),
    "too_many_streams": Problem(429, "Too many open streams of this principal.", "Close streams that nobody reads."),
    # --- runs and sessions
    "provider_unknown": Problem(422, "There is no such provider.", "Choose one of GET /api/providers."),
    "provider_not_ready": Problem(422, "The provider lacks something it needs.", "Do what its preflight says."),
    "auth_missing": Problem(422, "The provider has no key.", "Set the provider's key, for example ANTHROPIC_API_KEY."),
    "model_invalid": Problem(
        422, "The model's name cannot be one.", "Choose a model that the endpoint serves, or leave it out."
    ),
    "prompt_empty": Problem(
        422, "There is no text to work on.", "Send `prompt`, or `messages` whose last user message has text."
    ),
    "option_not_supported": Problem(
        422, "A provider option is known but has no effect yet.", "Leave out the options that `errors` names."
    ),
    "budget_not_supported": Problem(
        422,
        "Tokens and cost of an external executor are not limited by Paddock: it calls its models itself.",
        "Leave them out; `budget.maxSeconds` is kept. Limit the spending where the executor's key comes from.",
    ),
    "repo_address_refused": Problem(
        422, "The repository's address is not taken.", "Use https or ssh and an admitted host, or upload a bundle."
    ),
    "repo_ref_invalid": Problem(422, "The ref is not a branch, tag or commit name.", "Mend `repo.ref`."),
    "repo_only_new_session": Problem(
        422, "A repository seeds a new session only.", "Leave `repo` out, or leave `sessionId` out."
    ),
    "bundle_invalid": Problem(422, "The upload is not a git bundle.", "Make it with `git bundle create`."),
    "session_busy": Problem(
        409, "The session is at work on another message.", "Wait, stop it, or send with onBusy: enqueue or interrupt."
    ),
    "run_exists": Problem(409, "This `runId` cannot be used: it is taken.", "Leave `runId` out or choose another."),
    "not_steerable": Problem(
        409,
        "The agent takes no message now: it does not work, is being stopped, or cannot be told anything while it works.",
        "Send it as a message of the session: it is queued behind this run.",
    ),
    "not_queued": Problem(409, "Only runs that still wait can change places.", "Look at the runs' status."),
    "log_removed": Problem(
        410, "The log of this run was deleted by retention.", "Its final text and usage are in GET /api/runs/{id}."
    ),
    "request_closed": Problem(
        409, "The request was closed without an answer.", "Look at the run: it went on without it."
    ),
    "reply_invalid": Problem(
        422, "The reply does not fit the request.", "Send `decision` to an approval, `answers` to questions."
    ),
    # --- external executors
    "bind_superseded": Problem(
        409, "Another executor has the run meanwhile.", "Stop working on this run, or bind it again."
    ),
    "run_closed": Problem(409, "The run takes nothing any more.", "Read the run: it says how it ended."),
    "session_mismatch": Problem(409, "The run is of another session.", "Name the run's own session."),
    "request_exists": Problem(409, "The request's id is another run's.", "Use an id that is unique, a UUID say."),
    "callback_type_refused": Problem(
        422, "Events of this type are not an executor's to report.", "See /openapi for the types and their data."
    ),
    "executor_host_unavailable": Problem(
        503,
        "The external executor host does not answer.",
        "Look at the host that EXECUTOR_BASE_URL names.",
    ),
    "executor_host_refused": Problem(
        503,
        "The external executor host is of no use.",
        "Look at its token, and at its version.",
    ),
    # --- sandboxes and files
    "worker_not_active": Problem(409, "The sandbox of this session does not run.", "Activate it first."),
    "run_active": Problem(409, "The session is at work.", "Wait for the run to end, or stop it first."),
    "worker_busy": Problem(503, "Another operation on this sandbox goes on.", "Wait for it to end, then try again."),
    "worker_vanished": Problem(409, "The sandbox is gone.", "Activate it: the newest snapshot is restored."),
    "wish_refused": Problem(409, "What was wished of the sandbox cannot be done.", "Read what the message says."),
    "workspace_unstable": Problem(409, "Files change while they are saved.", "Stop what writes them, then try again."),
    "receipt_missing": Problem(409, "The files are not proven safe.", "Stop the sandbox first: that saves them."),
    "snapshot_incomplete": Problem(409, "The newest snapshot lacks content.", "Sync again while the sandbox is there."),
    "snapshot_damaged": Problem(
        409, "A stored snapshot cannot be read.", "Restore an older snapshot; look at the store."
    ),
    "blob_damaged": Problem(
        409, "A stored output is not what was saved.", "Bring the object store back from a backup."
    ),
    "restore_incomplete": Problem(
        503, "Not all content could be brought back.", "Try again; look at the object store."
    ),
    "content_incomplete": Problem(503, "Content ended early on its way to the store.", "Try again."),
    "content_not_as_scanned": Problem(503, "Content changed on its way.", "Try again."),
    "sandbox_lost": Problem(503, "The sandbox does not answer.", "Send the next message, or activate it."),
    "manifest_unsafe": Problem(422, "A snapshot names paths outside the workspace.", "Do not restore it."),
    "repo_unavailable": Problem(422, "The repository could not be cloned.", "Look at its address, ref and access."),
    "bundle_missing": Problem(422, "The uploaded bundle is gone.", "Upload it again."),
    "path_outside": Problem(422, "The path leads outside the workspace.", "Use a path below /workspace."),
    "path_invalid": Problem(422, "The path cannot be used.", "Use a plain path below /workspace."),
    "not_a_file": Problem(422, "This is not a regular file.", "Choose a file."),
    "not_a_folder": Problem(422, "This is not a folder.", "Choose a folder."),
    # --- backups, on the command line
    "backup_unreadable": Problem(422, "The file is no whole backup.", "Take another backup's file."),
    "backup_mismatch": Problem(422, "The backup does not fit this installation.", "Read what the message says."),
    "installation_not_empty": Problem(409, "A backup is restored into an empty installation only.", "Choose another."),
    # --- the platform
    "database_unavailable": Problem(503, "The database does not answer.", "Try again; look at `make status`."),
    "redis_unavailable": Problem(503, "Redis does not answer.", "Try again; look at `make status`."),
    "disk_full": Problem(
        503,
        "The disk has too little room for new work.",
        "Ask the operator to make room; what runs goes on, and nothing has to be sent again but this.",
    ),
    "redis_full": Problem(
        503, "Redis has too little room for new work.", "Ask the operator to raise `maxmemory` or to make room."
    ),
    "redis_unfit": Problem(
        503, "Redis is not set up to keep what it is told.", "Ask the operator: `paddock doctor` says what to set."
    ),
    "webhook_failed": Problem(
        503, "The receiver of a webhook did not take it.", "Look at the receiver; it is tried again."
    ),
    "store_unavailable": Problem(503, "The object store does not answer.", "Try again; look at `make status`."),
    "sandbox_refused": Problem(
        503, "The sandbox could not do it; it goes on, and so do its files.", "Try again; look at its log."
    ),
    "sandbox_unavailable": Problem(503, "The sandbox does not answer.", "Try again in a moment."),
    "login_closed": Problem(
        503, "Logging in is closed while its limiter is down.", "Try again; look at `make status`."
    ),
    "run_token_invalid": Problem(
        401, "The token of a run is not valid, or its run is over.", "Only a run's own agent has one."
    ),
    "process_missing": Problem(503, "A kind of process that is needed does not run.", "Look at `make status`."),
    "hub_stopped": Problem(503, "A web process does not follow logs any more.", "Restart it: `make up`."),
    "internal": Problem(500, "A defect of the platform.", "Report it with the request id."),
}
