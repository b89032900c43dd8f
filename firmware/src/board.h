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
  int speaker_clock;  // BCLK
  int speaker_word_select;
  int speaker_data;
  int button;  // to ground, pulled up inside
  LedKind led_kind;
  int led;
  // How many bits the microphone's samples are shifted up, 6 dB each: both kinds leave headroom for sounds far louder
  // than speech. With clipping, so that a shout is loud and not noise.
  int mic_gain_bits;
};

#if defined(VOICE_BOARD_ESP32_DEVKIT)
constexpr Board board = {"esp32dev", MicrophoneKind::I2s, 26, 25, 33, 22, 21, 19, 0, LedKind::Plain, 2, 4};
#elif defined(VOICE_BOARD_ESP32_S3_DEVKITC_1)
// GPIO 48 is the RGB LED of board revision 1.0; revision 1.1 has it on 38.
#ifndef VOICE_S3_LED
#define VOICE_S3_LED 48
#endif
constexpr Board board = {"esp32-s3-devkitc-1", MicrophoneKind::I2s, 5, 4, 6, 16, 17, 15, 0,
                         LedKind::Ws2812,      VOICE_S3_LED,        4};
#elif defined(VOICE_BOARD_XIAO_ESP32S3_SENSE)
// The microphone is on the Sense's own extension board. Its SD card shares GPIO 21 with the LED and is not used.
constexpr Board board = {
    "xiao-esp32s3-sense", MicrophoneKind::Pdm, 42, -1, 41, 5, 4, 6, 2, LedKind::PlainActiveLow, 21, 2};
#else
#error "Choose a board: pio run -e esp32dev (see platformio.ini), or define VOICE_BOARD_... as it does"
#endif

}  // namespace shell

#endif
