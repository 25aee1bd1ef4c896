from time import perf_counter

from fastapi import Request

from frontdesk.http.description import problems
from frontdesk.http.routing import Caller, DeclaredRouter
from frontdesk.http.services import services
from frontdesk.retrieval.repository import Filters, Scope
from frontdesk.retrieval.service import Hit, Question
from frontdesk.surfaces.threads_api.search_schemas import SearchIn, SearchOut

router = DeclaredRouter("/search", tag="search")


@router.post("/threads", response_model=SearchOut, responses=problems(400, 401, 403, 408, 413, 422, 503))
async def search_threads(request: Request, caller: Caller, body: SearchIn) -> object:
    """Finds messages in your own threads: one row for each thread, best first."""
    begun = perf_counter()
    filters = Filters(model=body.model, role=body.role, since=body.since, until=body.until)
    question = Question(
        scope=Scope(caller, filters), text=body.query, mode=body.mode, limit=body.limit, offset=body.offset
    )
    found = await services(request).search.search(question)
    threads = await services(request).threads.find_all(caller, [hit.thread_id for hit in found.hits])
    return {
        "items": [_shown(hit, threads[hit.thread_id]) for hit in found.hits if hit.thread_id in threads],
        "took_ms": round((perf_counter() - begun) * 1000, 1),
        "complete": found.complete,
        "degraded": found.degraded,
    }


def _shown(hit: Hit, thread: object) -> dict[str, object]:
    return {
        "thread": thread,
        "message_id": hit.message_id,
        "score": hit.score,
        "snippet": hit.snippet.text,
        "highlights": hit.snippet.highlights,
        "matched_by": hit.matched_by,
    }
