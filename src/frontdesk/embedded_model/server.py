"""The llama.cpp HTTP server, configured for a small machine. Import it only when the extra (xllamacpp) is there."""

from dataclasses import dataclass
from pathlib import Path

import xllamacpp

from frontdesk.embedded_model import MODEL_ID

_HTTP_THREADS = 64
_PROMPT_CACHE_MIB = 128
_MAX_ANSWER_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """`context` is in tokens for each of the `slots`, which answer at the same time."""

    host: str
    port: int
    threads: int
    slots: int
    context: int


def start_server(weights: Path, options: ServerOptions) -> xllamacpp.Server:
    """A server that answers on threads of its own while the object lives. Raises RuntimeError when it cannot start."""
    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {MODEL_ID}
    params.hostnames = [options.host]
    params.port = options.port
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    params.n_parallel = options.slots
    params.n_ctx = options.slots * options.context
    params.n_predict = _MAX_ANSWER_TOKENS
    # The model card's own advice: a model this small wanders at higher temperatures. Without the penalty it also loops.
    params.sampling.temp = 0.2
    params.sampling.top_p = 0.9
    params.sampling.penalty_repeat = 1.1
    # Each open stream holds an HTTP thread, also while it waits for a slot; the health check must still find one.
    params.n_threads_http = _HTTP_THREADS
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    # Its only reader is the gateway: no web page may call it from a browser.
    params.cors_origins = ""
    params.cors_credentials = False
    params.ui = False
    params.endpoint_slots = False
    params.verbosity = 0
    return xllamacpp.Server(params)
