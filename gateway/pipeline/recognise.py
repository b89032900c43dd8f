"""From the utterance of a question to its text: what was recognised in its last pause, or what is recognised now."""

from gateway.errors import DeviceFault, ErrorCode, Stage
from gateway.pipeline import hear
from gateway.pipeline.progress import Progress
from gateway.pipeline.turn_request import TurnRequest, TurnServices, wanted_language
from gateway.values import Transcript, Utterance


async def recognise(
    services: TurnServices, request: TurnRequest, utterance: Utterance, progress: Progress
) -> Transcript:
    """Return what was said in `utterance`, the one of `request`.

    Raises:
        DeviceFault: there is too little of it, or it cannot be decoded.
        StageFailed: no recogniser could.
    """
    settings = services.settings
    transcript = None if request.ahead is None else await request.ahead.transcript(progress.passed_over)
    if transcript is not None:
        if request.too_long:
            progress.too_long(settings.utterance_max_s)
        return transcript
    speech = await hear.decoded(utterance, settings.utterance_max_s)
    if speech.truncated or request.too_long:
        progress.too_long(settings.utterance_max_s)
    if speech.seconds < settings.utterance_min_s:
        raise DeviceFault(
            ErrorCode.AUDIO_TOO_SHORT,
            Stage.RECEIVE,
            f"{speech.seconds * 1000:.0f} ms is shorter than {settings.utterance_min_s * 1000:.0f} ms",
            retryable=True,
        )
    return await services.engines.stt.transcribe(
        speech.samples, wanted_language(settings, request.language), progress.passed_over
    )
