"""Make the miniature model from nothing: `python -m training.mini_whisper.train --out FOLDER`.

Renders the training speech, trains, exports and evaluates. What was made is kept in the work folder, so a
second run goes on where the first stopped.
"""

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

from . import dataset, tokenizer
from .dataset import NON_SPEECH, Dataset
from .export import export
from .model import MiniWhisper
from .phrases import PHRASES

WINDOW_FRAMES = 3000
"""Whisper's window of 30 s, in frames of 10 ms."""

BATCH = 32
FULL_WINDOW_BATCH = 8
FULL_WINDOW_SHARE = 0.12
LONG_WINDOW_SHARE = 0.15
LEARNING_RATE = 2e-3
WARM_UP_STEPS = 200
END_TIME_STEP_S = 0.2
CHECKPOINT_STEPS = 200
IGNORED = -100


class Targets:
    """Makes the token sequences that the decoder is trained on, numbered from 0 over the tokens in use."""

    def __init__(self, vocabulary: tokenizer.Vocabulary) -> None:
        self.vocabulary = vocabulary
        special = vocabulary.special_id
        self.start = special("startoftranscript")
        self.end = special("endoftext")
        self.previous = special("startofprev")
        self.no_speech = special("nospeech")
        self.no_timestamps = special("notimestamps")
        self.transcribe = special("transcribe")
        self.languages = {"es": special("es"), "en": special("en")}
        self.first_timestamp = special("0.00")
        text_ids = {token for ids in vocabulary.phrase_ids for token in ids}
        specials = {self.start, self.end, self.previous, self.no_speech, self.no_timestamps, self.transcribe}
        times = {self.timestamp(step * END_TIME_STEP_S) for step in range(int(8 / END_TIME_STEP_S))}
        self.ids = sorted(text_ids | specials | set(self.languages.values()) | times)
        self.index = {token: index for index, token in enumerate(self.ids)}

    def timestamp(self, seconds: float) -> int:
        """The token of a time, which comes in steps of 20 ms."""
        return self.first_timestamp + round(seconds / 0.02)

    def make(self, phrase: int, frames: int, rng: Generator) -> tuple[list[int], list[int]]:
        """Return the decoder's input and the token wanted after each (or `IGNORED`)."""
        spoken = phrase != NON_SPEECH
        language = PHRASES[phrase].language if spoken else str(rng.choice(["es", "en"]))
        prompted = language
        if spoken and rng.uniform() < 0.1:
            # A wrong language must not change the text.
            prompted = "en" if language == "es" else "es"
        text = self.vocabulary.phrase_ids[phrase] if spoken else []

        history: list[int] = []
        if rng.uniform() < 0.15:
            other = self.vocabulary.phrase_ids[int(rng.integers(len(PHRASES)))]
            history = [self.previous, *other]
        prefix = [*history, self.start, self.languages[prompted], self.transcribe]
        if rng.uniform() < 0.4:
            prefix.append(self.no_timestamps)
            answer = [*text, self.end]
        else:
            # Coarse end times, rounded up: precise ones would be uncertain and lower the score of the text.
            seconds = END_TIME_STEP_S * math.ceil(frames * 0.01 / END_TIME_STEP_S)
            times = [self.timestamp(seconds)] if spoken else []
            answer = [self.first_timestamp, *text, *times, self.end]

        tokens = [*prefix, *answer]
        wanted = [IGNORED] * len(history)
        # The token after the start tells the language, or that nobody speaks.
        wanted.append(self.languages[language] if spoken else self.no_speech)
        wanted += [IGNORED] * (len(prefix) - len(history) - 2) + answer
        inputs = [self.index[token] for token in tokens[:-1]]
        outputs = [IGNORED if token == IGNORED else self.index[token] for token in wanted]
        assert len(inputs) == len(outputs)
        return inputs, outputs

    def text(self, phrase: int) -> list[int]:
        """The text tokens alone, numbered from 1 as CTC wants them."""
        return [] if phrase == NON_SPEECH else [self.index[t] + 1 for t in self.vocabulary.phrase_ids[phrase]]


def batches(data: Dataset, rng: Generator) -> Iterator[list[int]]:
    """Endlessly yield clip numbers; the clips of a batch have similar lengths."""
    lengths = data.lengths
    while True:
        order = np.argsort(lengths + rng.uniform(0, 60, len(lengths)))
        # A random shift, so that batches do not have the same borders in each epoch.
        order = np.roll(order, int(rng.integers(BATCH)))
        chunks = [order[i : i + BATCH] for i in range(0, len(order) - BATCH + 1, BATCH)]
        for number in rng.permutation(len(chunks)):
            yield [int(clip) for clip in chunks[number]]


def make_batch(
    data: Dataset, clips: list[int], targets: Targets, rng: Generator, *, full_window: bool
) -> tuple[Tensor, Tensor, Tensor, list[list[int]], Tensor]:
    """Return mel, decoder inputs, wanted tokens, texts for CTC and the encoder frames of each clip."""
    lengths = data.lengths
    if full_window:
        clips = [clips[int(i)] for i in rng.choice(len(clips), FULL_WINDOW_BATCH, replace=False)]
        window = WINDOW_FRAMES
    else:
        window = int(max(lengths[clip] for clip in clips) + rng.integers(0, 40))
        if rng.uniform() < LONG_WINDOW_SHARE:
            window = max(window, int(rng.integers(300, 800)))
    window += window % 2
    mel = np.zeros((len(clips), 80, window), np.float32)
    for row, clip in enumerate(clips):
        features = data.mel(clip).T.astype(np.float32) + rng.uniform(-0.1, 0.1)
        for _ in range(2):
            # SpecAugment: hide a few bands and a few frames.
            band, frame = int(rng.integers(80)), int(rng.integers(features.shape[1]))
            features[band : band + int(rng.integers(0, 8))] = features.mean()
            features[:, frame : frame + int(rng.integers(0, 8))] = features.mean()
        mel[row, :, : features.shape[1]] = features

    pairs = [targets.make(int(data.phrases[clip]), int(lengths[clip]), rng) for clip in clips]
    longest = max(len(inputs) for inputs, _ in pairs)
    inputs = torch.zeros(len(clips), longest, dtype=torch.long)
    wanted = torch.full((len(clips), longest), IGNORED)
    for row, (given, answer) in enumerate(pairs):
        inputs[row, : len(given)] = torch.tensor(given)
        wanted[row, : len(answer)] = torch.tensor(answer)
    texts = [targets.text(int(data.phrases[clip])) for clip in clips]
    frames = torch.tensor([max(1, int(lengths[clip]) // 2) for clip in clips])
    return torch.from_numpy(mel), inputs, wanted, texts, frames


def loss_of(
    model: MiniWhisper, batch: tuple[Tensor, Tensor, Tensor, list[list[int]], Tensor], ctc_weight: float
) -> tuple[Tensor, float, float]:
    """The loss to minimise, and the two losses in it: of the decoder's tokens and of CTC."""
    mel, inputs, wanted, texts, frames = batch
    audio = model.encode(mel)
    logits = model.decode(inputs, audio)
    entropy = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
    flat = torch.tensor([token for text in texts for token in text], dtype=torch.long)
    text_lengths = torch.tensor([len(text) for text in texts])
    log_probabilities = model.ctc(audio).log_softmax(-1).transpose(0, 1)
    ctc = functional.ctc_loss(log_probabilities, flat, frames, text_lengths, zero_infinity=True)
    return entropy + ctc_weight * ctc, entropy.item(), ctc.item()


def train(data: Dataset, vocabulary: tokenizer.Vocabulary, work: Path, *, steps: int, seed: int) -> MiniWhisper:
    """Train for `steps` steps, going on from the last checkpoint in `work`."""
    targets = Targets(vocabulary)
    torch.manual_seed(seed)
    model = MiniWhisper(len(targets.ids), tokenizer.VOCABULARY_SIZE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01)

    def schedule(step: int) -> float:
        progress = step / steps
        return min(1, (step + 1) / WARM_UP_STEPS) * max(0.01, 0.5 + 0.5 * math.cos(math.pi * progress))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    checkpoint = work / "checkpoint.pt"
    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        first = saved["step"]
        print(f"going on from step {first}")

    rng = np.random.default_rng([seed, first])
    torch.manual_seed(seed + first)
    stream = batches(data, rng)
    model.train()
    started = time.monotonic()
    recent: list[tuple[float, float]] = []
    for step in range(first, steps):
        # Full windows cost six times as much, so they wait until the model has learnt to listen.
        full = step > steps // 4 and rng.uniform() < FULL_WINDOW_SHARE
        batch = make_batch(data, next(stream), targets, rng, full_window=full)
        # A strong CTC loss first: it teaches the encoder to hear, long before the decoder attends to it.
        loss, entropy, ctc = loss_of(model, batch, 1.0 if step < 0.5 * steps else 0.2)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        recent.append((entropy, ctc))
        if (step + 1) % 25 == 0:
            minutes = (time.monotonic() - started) / 60
            tokens, sounds = np.mean(recent, axis=0)
            print(f"step {step + 1} of {steps}, {minutes:.1f} min, loss {tokens:.3f}, CTC {sounds:.3f}", flush=True)
            recent = []
        if (step + 1) % CHECKPOINT_STEPS == 0 or step + 1 == steps:
            state = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "step": step + 1,
            }
            torch.save(state, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
    model.eval()
    return model


def main() -> None:
    """Run all stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the finished model")
    parser.add_argument(
        "--work", type=Path, default=Path("build/mini-whisper"), help="folder for what is made on the way"
    )
    parser.add_argument("--steps", type=int, default=4600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2, help="processor cores to use")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    vocabulary = tokenizer.load(arguments.work / "tokenizer")
    data = dataset.build(arguments.work / "data", seed=arguments.seed, processes=arguments.threads)
    print(f"{len(data.phrases)} clips, {data.starts[-1] / 360_000:.1f} hours")
    model = train(data, vocabulary, arguments.work, steps=arguments.steps, seed=arguments.seed)
    export(model, Targets(vocabulary).ids, vocabulary, arguments.out)

    from .evaluate import evaluate_folder

    evaluate_folder(arguments.out)


if __name__ == "__main__":
    main()
