"""CTC: losses and texts worked out by hand, what goes wrong is said, and a toy language is learned."""

import math

import numpy as np
import pytest
import torch

from sensorium.batch import Fused, Place, Raw
from sensorium.decoders.ctc import CTCDecoder, best_path
from sensorium.decoders.writing import WritingConfig
from sensorium.errors import RecipeError
from sensorium.heads import HEADS
from sensorium.recipe import parse_recipe

A, B = 4, 5


def decoder_of(texts=("ab", "ba"), width=3, **settings):
    torch.manual_seed(0)
    config = CTCDecoder.Config(dropout=0.0, **settings)
    column = CTCDecoder.target(config, None)
    column.fit(texts)
    return CTCDecoder(config, column, 1, width)


def says(decoder, chances):
    """Makes the decoder say in every frame what the frame itself holds: log chances of its tokens."""
    with torch.no_grad():
        decoder.output.weight.copy_(torch.eye(decoder.column.vocabulary_size))
        decoder.output.bias.zero_()
    return torch.tensor(chances, dtype=torch.float32).log()


def fused(tokens, lengths=None, **inputs):
    """Rows whose tokens belong to the input `speech`, or to several inputs of so many tokens each."""
    rows, count, _ = tokens.shape
    lengths = torch.tensor(lengths or [count] * rows)
    places, start = {}, 0
    for name, length in (inputs or {"speech": count}).items():
        places[name], start = Place(start, length), start + length
    mask = torch.arange(count) < lengths.unsqueeze(1)
    return Fused(tokens[:, 0], tokens, mask, {}, places)


def target(*texts):
    length = max(1, *map(len, texts))
    values = torch.tensor([[*text, *[0] * (length - len(text))] for text in texts])
    return Raw(values, torch.arange(length) < torch.tensor([[len(text)] for text in texts]))


def frame(blank, a, b):
    """Chances of the six tokens: blank, three that are never said, a and b."""
    return [max(1e-9, chance) for chance in (blank, 0, 0, 0, a, b)]


def test_loss_is_the_sum_over_paths():
    """Two frames: "a" is said by (a, a), (a, blank) and (blank, a): 0.25 + 0.1 + 0.15 = 0.5."""
    decoder = decoder_of(width=6)
    values = says(decoder, [[frame(0.3, 0.5, 0.2), frame(0.2, 0.5, 0.3)]])
    chance = 0.5 * 0.5 + 0.5 * 0.2 + 0.3 * 0.5
    loss = decoder.loss(fused(values), target([A]))
    assert loss.item() == pytest.approx(-math.log(chance), abs=1e-4)
    two = decoder.loss(fused(values), target([A, B]))
    assert two.item() == pytest.approx(-math.log(0.5 * 0.3) / 2, abs=1e-4), "a mean over the tokens"


def test_padding_and_missing_rows_change_nothing():
    decoder = decoder_of(width=4)
    tokens = torch.randn(3, 7, 4)
    alone = decoder.loss(fused(tokens[:1, :4]), target([A, B]))
    row = fused(tokens, [4, 7, 7])
    row.present["speech"] = torch.tensor([True, True, False])
    losses = decoder.loss(row, target([A, B], [], [A]))
    torch.testing.assert_close(losses[:1], alone)
    assert losses[1:].tolist() == [0.0, 0.0], "no text, no sound"
    losses.sum().backward()
    assert decoder.output.weight.grad.isfinite().all()


@pytest.mark.parametrize(("text", "fits"), [([A, B], True), ([A, A], False), ([A, B, A], False)])
def test_a_text_that_does_not_fit_into_its_frames_teaches_nothing(text, fits):
    decoder = decoder_of(width=4)
    losses = decoder.loss(fused(torch.randn(1, 2, 4)), target(text))
    assert bool(losses[0] > 0) == fits


def test_texts_without_enough_frames_are_counted_and_too_many_refused():
    decoder = decoder_of(width=4).train()
    decoder.loss(fused(torch.randn(3, 2, 4)), target([A, B], [A, A], [B]))
    lines = [line for line in decoder.remarks() if "blank" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("1 of 3 rows have a text of more tokens than their sound has frames")
    assert decoder.remarks() == []
    with pytest.raises(RecipeError, match=r"40 of 40 rows .*tokenizer: bpe"):
        decoder.loss(fused(torch.randn(40, 2, 4)), target(*[[A, A]] * 40))


def test_blank_frames_are_told():
    decoder = decoder_of(width=6).train()
    blank = says(decoder, [[frame(0.9, 0.05, 0.05)] * 3] * 2)
    decoder.loss(fused(blank), target([A], [B]))
    (line,) = decoder.remarks()
    assert line.startswith("100.0% of the frames were blank")
    decoder.loss(fused(says(decoder, [[frame(0.9, 0.05, 0.05), frame(0.1, 0.9, 0.0)]])), target([A]))
    assert decoder.remarks() == []


def test_the_likeliest_path_is_collapsed():
    chances = torch.zeros(1, 6, 3)
    for place, token in enumerate([1, 1, 0, 1, 2, 2]):
        chances[0, place, token] = 1.0
    written = best_path(chances.log(), torch.tensor([[True] * 5 + [False]]), length=4)
    assert written.ids[0, :, 0].tolist() == [1, 1, 2, 0]
    assert best_path(chances.log(), torch.ones(1, 6, dtype=torch.bool), 2).ids[0, :, 0].tolist() == [1, 1]


def test_beams_add_paths_and_heed_the_language():
    """Blank is the likeliest in each frame, "a" the likeliest text. In the language, a is never alone."""
    frames = [[frame(0.6, 0.4, 0.0), frame(0.6, 0.38, 0.02)]]
    plain = decoder_of(width=6)
    greedy = plain.write(fused(says(plain, frames)), WritingConfig(length=4))
    assert greedy.ids.flatten().tolist() == [0, 0, 0, 0]
    beams = plain.write(fused(says(plain, frames)), WritingConfig(length=4, beams=4, best=2))
    assert beams.ids[0, :, 0].tolist() == [A, 0, 0, 0]
    assert math.exp(beams.scores[0, 0]) == pytest.approx(0.4 * 0.6 + 0.4 * 0.38 + 0.6 * 0.38, abs=1e-4)
    strict = decoder_of(["ab"] * 50, width=6, ngram=3, ngram_weight=3.0, ngram_bonus=3.0)
    heeded = strict.write(fused(says(strict, frames)), WritingConfig(length=4, beams=8))
    assert heeded.ids[0, :, 0].tolist() == [A, B, 0, 0]


def test_what_a_recipe_cannot_have():
    decoder = decoder_of(width=4)
    two = fused(torch.randn(1, 5, 4), speech=3, picture=2)
    with pytest.raises(RecipeError, match="one input is read; name one of speech, picture"):
        decoder.write(two, WritingConfig())
    with pytest.raises(RecipeError, match=r"'speach' is no input \(did you mean 'speech'\?\)"):
        decoder_of(width=4, input="speach").write(two, WritingConfig())
    with pytest.raises(RecipeError, match="ctc draws no texts"):
        decoder.write(fused(torch.randn(1, 5, 4)), WritingConfig(temperature=1.0))


@pytest.mark.parametrize(
    ("named", "line"),
    [
        ({}, r"outputs.t.decoder.input: ctc reads one input; name one of speech, picture"),
        ({"input": "speach"}, r"outputs.t.decoder.input: 'speach' is no input \(did you mean speech\?\)"),
    ],
)
def test_a_recipe_says_what_is_heard(named, line):
    inputs = {"speech": {"type": "audio"}, "picture": {"type": "image"}}
    output = {"type": "text", "decoder": {"kind": "ctc", **named}}
    with pytest.raises(RecipeError, match=line):
        parse_recipe({"inputs": inputs, "outputs": {"t": output}})


def test_the_named_input_alone_is_heard():
    decoder = decoder_of(width=4, input="speech")
    tokens = torch.randn(2, 5, 4)
    heard = decoder.loss(fused(tokens, speech=3, picture=2), target([A], [B]))
    torch.testing.assert_close(heard, decoder.loss(fused(tokens[:, :3]), target([A], [B])))


def test_writing_goes_as_far_as_learning_where_nothing_is_said():
    recipe = {"inputs": {"speech": {"type": "audio"}}}
    decoder = {"kind": "ctc", "length": 150}
    plain = parse_recipe(recipe | {"outputs": {"t": {"type": "text", "decoder": decoder}}})
    assert plain.outputs["t"].writing.length == 150
    said = {"type": "text", "decoder": decoder, "writing": {"length": 9}}
    assert parse_recipe(recipe | {"outputs": {"t": said}}).outputs["t"].writing.length == 9


def test_a_toy_language_is_learned():
    """Each letter lasts one to three frames of its own noisy vector, with silence between: all are read."""
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abcd"), random.integers(2, 6))) for _ in range(64)]
    voice = random.normal(size=(5, 8))
    sounds = []
    for text in texts:
        frames = [voice[0]]
        for letter in text:
            frames += [voice["abcd".index(letter) + 1]] * int(random.integers(1, 4)) + [voice[0]]
        sounds.append(torch.tensor(np.array(frames) + 0.1 * random.normal(size=(len(frames), 8))).float())
    tokens = torch.nn.utils.rnn.pad_sequence(sounds, batch_first=True)
    rows = fused(tokens, [len(sound) for sound in sounds])
    head_config = HEADS["text"].Config.model_validate({"decoder": {"kind": "ctc", "dropout": 0.0}})
    column = HEADS["text"].target(head_config)
    column.fit(texts)
    cells = column.collate([column.decode(text) for text in texts])
    torch.manual_seed(0)
    head = HEADS["text"](head_config, column, 8, 8)
    wanted = Raw(torch.from_numpy(cells.values), torch.from_numpy(cells.mask))
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        head.loss(rows, wanted).mean().backward()
        optimizer.step()
    predicted = {name: values.numpy() for name, values in head.eval().predict(rows).items()}
    assert head.answers(predicted)["prediction"] == texts
    assert head.metrics(predicted, cells)["character_error_rate"] == 0.0
