"""SmolLM2-135M writes: tokens a second against transformers, memory of a step of training, time to load.

    python -m benchmarks.text_generation --output benchmarks/results/text_generation.json

Both libraries run in this process, in turns, on the same weights and the same random prompts, greedily.
transformers runs in fp32, as it comes, with `generate` and its growing cache. Sensorium writes as a decoder
of `kind: causal` does: its own forward pass, in bf16 where the processor multiplies that in hardware. Prompt:
one pass over it up to the logits of the next token. Generation: tokens after a prompt of 4, with an end that
is never chosen.

A step of training is a process of its own: the language model frozen and its activations computed twice, as
with `tune: projector` and `gradient_checkpointing`, one text, a gradient down to the vectors of its words;
once with the logits of all tokens at a time, once with 256 at a time. Its peak is what the system calls
resident. Loading is a process of its own too, from the converted file in the cache: the time of
`open_writer`, after the imports.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import circumstances, cost, in_turns, parser, rates, report, spread
from sensorium.decoders.causal import CausalDecoderConfig
from sensorium.decoders.llama import Llama, quick_llama
from sensorium.decoders.losses import CHUNK
from sensorium.decoders.writing import Ends, WritingConfig, write
from sensorium.encoders.pretrained.backbone import load_causal
from sensorium.weights import find

WEIGHTS = CausalDecoderConfig().weights
BASE, OURS = "transformers, fp32", "Sensorium"
_BEFORE = 4  # tokens before those that are generated


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every number of threads and of texts."""
    options = parser(__doc__ or "", repeats=5)
    options.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of both libraries")
    options.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="texts at a time")
    options.add_argument("--prompt", type=int, default=256, help="tokens of a prompt")
    options.add_argument("--tokens", type=int, default=64, help="tokens generated of a text")
    options.add_argument("--step", type=int, default=2048, help="tokens of a step of training")
    chosen = options.parse_args(arguments)
    began = circumstances()
    with tempfile.TemporaryDirectory() as place:
        weights = WEIGHTS
        if chosen.smoke:
            weights = _tiny(Path(place))
            chosen.threads, chosen.batches = [torch.get_num_threads()], [2]
            chosen.prompt, chosen.tokens, chosen.step = 8, 3, 300
        content: dict[str, Any] = {"tables": {}, "bases": {}, "figures": {}, "costs": {}}
        content["notes"] = measure_speed(content, weights, chosen)
        content["figures"] = measure_processes(weights, chosen.step, chosen.repeats)
        report("text_generation", content, chosen.output, began)


def measure_speed(content: dict[str, Any], weights: str, chosen: Any) -> dict[str, Any]:
    """Fills the tables of prompts and of generation; returns what else is to be said."""
    whole = load_causal(find(weights, Path()))
    own = quick_llama(whole.config, whole.base_model.state_dict())
    threads_before = torch.get_num_threads()
    for threads in chosen.threads:
        torch.set_num_threads(threads)
        for texts in chosen.batches:
            generator = torch.Generator().manual_seed(0)
            ids = torch.randint(3, whole.config.vocab_size, (texts, chosen.prompt), generator=generator)
            ways = {
                "prompt": (
                    ids.numel(),
                    {BASE: partial(_prompt, whole, ids), OURS: partial(_own_prompt, own, ids)},
                ),
                "generation": (
                    texts * chosen.tokens,
                    {
                        BASE: partial(_generation, whole, ids[:, :_BEFORE], chosen.tokens),
                        OURS: partial(_own_generation, own, ids[:, :_BEFORE], chosen.tokens),
                    },
                ),
            }
            for kind, (amount, libraries) in ways.items():
                title = f"{kind}: {threads} thread{'s'[: threads - 1]}, {texts} at a time, tokens"
                costs = in_turns(
                    {name: partial(cost, way) for name, way in libraries.items()}, chosen.repeats
                )
                content["tables"][title], content["bases"][title] = rates(costs, amount, BASE), BASE
                content["costs"][title] = costs
    torch.set_num_threads(threads_before)
    return {
        "weights": weights,
        "dtype of Sensorium": str(own.dtype),
        "agreement": _agreement(whole, own, ids),
    }


@torch.no_grad()
def _prompt(whole: Any, ids: Tensor) -> Tensor:
    logits: Tensor = whole(ids, logits_to_keep=1).logits
    return logits


@torch.no_grad()
def _own_prompt(own: Llama, ids: Tensor) -> Tensor:
    memory = own.begin(torch.ones_like(ids, dtype=torch.bool), ids.shape[1])
    states, _ = own.read(own.embed(ids), memory)
    return own.logits(states[:, -1:])


def _generation(whole: Any, ids: Tensor, tokens: int) -> Tensor:
    found: Tensor = whole.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
        pad_token_id=0,
    )
    return found


@torch.no_grad()
def _own_generation(own: Llama, ids: Tensor, tokens: int) -> Tensor:
    memory = own.begin(torch.ones_like(ids, dtype=torch.bool), ids.shape[1] + tokens)
    _, memory = own.read(own.embed(ids), memory)

    def step(last: Tensor, state: Any) -> tuple[Tensor, Any]:
        states, state = own.read(own.embed(last.unsqueeze(1)), state)
        return own.logits(states[:, -1]), state

    ends = Ends(start=3, end=2, never=(2,))
    return write(step, memory, len(ids), ends, WritingConfig(length=tokens), ids.device).ids


def _agreement(whole: Any, own: Llama, ids: Tensor) -> str:
    """Of the logits after a prompt."""
    theirs, ours = _prompt(whole, ids)[:, -1], _own_prompt(own, ids)[:, -1]
    cosine = torch.nn.functional.cosine_similarity(theirs, ours, dim=1).min()
    same = (theirs.argmax(dim=1) == ours.argmax(dim=1)).float().mean()
    return (
        f"cosine of logits {float(cosine):.5f} at least, the same next token in {float(same):.0%} of prompts"
    )


def measure_processes(weights: str, tokens: int, repeats: int) -> dict[str, Any]:
    """Peaks of a step of training, and seconds to load, every repeat in a process of its own."""
    kinds = {
        "logits of all tokens at a time": ["step", weights, str(tokens), str(tokens)],
        f"logits of {CHUNK} tokens at a time": ["step", weights, str(tokens), str(CHUNK)],
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in [*kinds, "load"]}
    for _ in range(repeats):
        for name, words in kinds.items():
            found[name].append(_process(*words))
        found["load"].append(_process("load", weights))
    return {
        f"a step of training, {tokens} tokens": {name: _spreads(found[name]) for name in kinds},
        "loading": {"from the converted cache": _spreads(found["load"])},
    }


def _spreads(found: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    return {name: spread([one[name] for one in found]) for name in found[0]}


def _process(*words: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.text_generation_process", *words]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def _tiny(folder: Path) -> str:
    """A Llama of random weights, to see that all runs."""
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=128,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


if __name__ == "__main__":
    main()
