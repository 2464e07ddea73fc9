"""What a refusal must look like from every side: client, upstream, event, metrics."""

from contextlib import contextmanager

TITLES = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 413: "Content Too Large",
          415: "Unsupported Media Type", 422: "Unprocessable Content", 429: "Too Many Requests", 502: "Bad Gateway"}
BLOCKED = {401: "invalid_credentials", 403: "forbidden", 429: "rate_limit"}


def refused(answer, status):
    """The client got a problem document with this status, and the upstream nothing at all."""
    assert answer.status == status, (answer.status, answer.body)
    assert answer.upstream is None, answer.upstream
    problem = answer.problem
    assert problem["status"] == status
    assert problem["title"] == TITLES[status]
    assert problem["detail"]
    assert problem["request_id"]
    return problem


def passed(answer):
    """The upstream got the request and its answer came back."""
    assert answer.status == 200, (answer.status, answer.body)
    assert answer.upstream is not None
    return answer.upstream


@contextmanager
def counted(gateway, series, /, by=1, **labels):
    """The series grows by exactly this much meanwhile."""
    before = gateway.counter(series, **labels)
    yield
    after = gateway.counter(series, **labels)
    assert after - before == by, f"{series} {labels}: {before} -> {after}"


def unauthenticated(gateway, reason, send):
    """401 for this reason: challenge, problem document, one AUTH_FAILURE and its metrics."""
    service = "user-service"
    with counted(gateway, "auth_failures_total", service=service, reason=reason), \
            counted(gateway, "security_events_total", event_type="AUTH_FAILURE", service=service), \
            counted(gateway, "blocked_requests_total", service=service, reason="invalid_credentials"):
        answer = send()
        refused(answer, 401)
    assert answer.header("www-authenticate")
    event = gateway.event(answer)
    assert event["event_type"] == "AUTH_FAILURE"
    assert event["service"] == service
    assert event["details"]["reason"] == reason, event
    assert event["details"]["status"] == 401
    return answer, event
