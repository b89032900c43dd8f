"""Builds micro-mp3 under PlatformIO, whose own build files are for ESP-IDF's CMake only.

Its src folder also holds assembly for ARM, which PlatformIO would hand to the assembler of the ESP32, and its sources
look for headers in two folders that are not on anybody's include path.
"""

from pathlib import Path

Import("env")  # noqa: F821 - PlatformIO's way of handing over the build environment


def build(env, source):
    path = Path(source.srcnode().get_abspath())
    if path.suffix != ".cpp":
        return None
    root = next(folder for folder in path.parents if folder.name == "src")
    return env.Object(
        source,
        CPPPATH=[*env["CPPPATH"], str(root / "opencore-mp3dec"), str(root / "opencore-mp3dec" / "oscl")],
        # Its tables and state are read for every sample: fast internal memory first, also on boards with PSRAM.
        CPPDEFINES=[*env["CPPDEFINES"], "MP3_DECODER_PREFER_INTERNAL"],
        CCFLAGS=[*env["CCFLAGS"], "-O2", "-w"],
    )


env.AddBuildMiddleware(build, "*/microMP3/src/*")  # noqa: F821
