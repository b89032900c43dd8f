// The pins of each board, and what hangs on them: the one place to change for other wiring. docs/firmware.md and the
// pictures in boards/ show the same. The environment in platformio.ini chooses the board.
#ifndef VOICE_SHELL_BOARD_H
#define VOICE_SHELL_BOARD_H

#include <stdint.h>

namespace shell {

enum class MicrophoneKind : uint8_t { I2s, Pdm };  // INMP441 and its kind, or a microphone with clock and data only
enum class LedKind : uint8_t { Plain, PlainActiveLow, Ws2812 };

struct Board {
  const char* name;  // said in `hello`
  MicrophoneKind microphone;
  int mic_clock;        // SCK of I2S, CLK of PDM
  int mic_word_select;  // -1 with PDM
  int mic_data;
  // How many bits the microphone's samples are shifted up, 6 dB each: both kinds leave headroom for sounds far louder
  // than speech. With clipping, so that a shout is loud and not noise.
  int mic_gain_bits;
  int speaker_clock;  // BCLK
  int speaker_word_select;
  int speaker_data;
  int button;  // to ground, pulled up inside
  LedKind led_kind;
  int led;
};

#if defined(VOICE_BOARD_ESP32_DEVKIT)
constexpr Board board = {
    .name = "esp32dev",
    .microphone = MicrophoneKind::I2s,
    .mic_clock = 26,
    .mic_word_select = 25,
    .mic_data = 33,
    .mic_gain_bits = 4,
    .speaker_clock = 22,
    .speaker_word_select = 21,
    .speaker_data = 19,
    .button = 0,  // BOOT
    .led_kind = LedKind::Plain,
    .led = 2,
};
#elif defined(VOICE_BOARD_ESP32_S3_DEVKITC_1)
#ifndef VOICE_S3_LED
#define VOICE_S3_LED 48  // of board revision 1.0; revision 1.1 has it on 38
#endif
constexpr Board board = {
    .name = "esp32-s3-devkitc-1",
    .microphone = MicrophoneKind::I2s,
    .mic_clock = 5,
    .mic_word_select = 4,
    .mic_data = 6,
    .mic_gain_bits = 4,
    .speaker_clock = 2,
    .speaker_word_select = 1,
    .speaker_data = 42,
    .button = 0,  // BOOT
    .led_kind = LedKind::Ws2812,
    .led = VOICE_S3_LED,
};
#elif defined(VOICE_BOARD_XIAO_ESP32S3_SENSE)
// The microphone is on the Sense's own extension board. Its SD card shares GPIO 21 with the LED and is not used.
constexpr Board board = {
    .name = "xiao-esp32s3-sense",
    .microphone = MicrophoneKind::Pdm,
    .mic_clock = 42,
    .mic_word_select = -1,
    .mic_data = 41,
    .mic_gain_bits = 2,
    .speaker_clock = 5,        // D4
    .speaker_word_select = 4,  // D3
    .speaker_data = 6,         // D5
    .button = 2,               // D1
    .led_kind = LedKind::PlainActiveLow,
    .led = 21,
};
#else
#error "Choose a board: pio run -e esp32dev (see platformio.ini), or define VOICE_BOARD_... as it does"
#endif

}  // namespace shell

#endif
