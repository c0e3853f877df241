"""`chat`: a talk with a language model in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option


def chat(
    run: Annotated[
        Path | None, Argument(help="runs/NAME, or a saved model; default: the plain language model")
    ] = None,
    weights: Annotated[
        str | None, Option(help="of the plain model: id, or folder; default: SmolLM2-135M-Instruct")
    ] = None,
    message: Annotated[
        list[str] | None, Option("-m", "--message", help="say this, and end; may be given again")
    ] = None,
    system: Annotated[str, Option(help="what the model is told before the talk")] = "",
    length: Annotated[int, Option(help="tokens of an answer at most")] = 512,
    seconds: Annotated[float, Option(help="time for an answer")] = 600.0,
    temperature: Annotated[float, Option(help="above 0 words are drawn; 0: the likeliest")] = 0.0,
    seed: Annotated[int, Option(help="of drawing")] = 0,
) -> None:
    """Talk with a language model; a message may begin with name=path for the inputs of a run."""
    from sensorium.chat import PLAIN, open_chat, talk, writing_of

    writing = writing_of(length=length, seconds=seconds, temperature=temperature, seed=seed)
    model = open_chat(run, weights or PLAIN)
    said = message if message else typer.get_text_stream("stdin")
    for piece in talk(model, said, writing, system):
        typer.echo(piece, nl=False)
