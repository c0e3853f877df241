"""Speech of any length → text, part by part."""

from sensorium.transcription.transcribe import Segment, transcribe, whisper

__all__ = ["Segment", "transcribe", "whisper"]
