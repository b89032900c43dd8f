// The JSON messages of a device: `hello` and `control` are written, `event` and `state` are read.
#ifndef VOICE_CORE_MESSAGES_H
#define VOICE_CORE_MESSAGES_H

#include <stddef.h>
#include <stdint.h>

#include "voice_core/frame.h"

namespace voice {

// Enough for a `hello` whose labels have 64 characters of ASCII, each to be escaped, and its `rssi`.
constexpr size_t hello_capacity = 768;
// What `rssi` adds to it: `,"rssi":-128`.
constexpr size_t hello_rssi_size = 12;
// Enough for any `control`.
constexpr size_t control_capacity = 64;

// What `hello` says of the device. An empty text is not said; labels have at most 64 characters.
struct Hello {
  const char* name = "";
  const char* firmware = "";
  const char* board = "";
  const char* language = "";  // ISO 639, "es"
  uint16_t max_packet = 0;    // bytes, all headers included
  uint16_t buffer_ms = 0;     // of reply sent ahead of real time
  uint16_t rate = 0;          // Hz, of the microphone
  uint16_t reply_rate = 0;    // Hz
  uint16_t reply_bitrate_kbps = 0;
  uint16_t end_of_speech_ms = 0;  // of silence, with which the device itself ends an utterance; 0: not said
};

// Each writes a message and a NUL into `out` and returns its length, or 0 if it did not fit.
size_t write_hello(const Hello& hello, char* out, size_t capacity);
// Says in `hello`, of which write_hello() wrote `size` bytes, how strong the signal is, in dBm; 0: not known, and not
// said. Once more with the same `size`, it replaces what was said. Returns the new length, at most hello_rssi_size
// more, for which the buffer has room, and for a NUL.
size_t write_hello_rssi(char* hello, size_t size, int8_t rssi);
size_t write_abort(char* out, size_t capacity);
// What of the reply to `turn` has been heard: up to frame `seq`; `end`: all of it.
size_t write_played(uint16_t turn, uint16_t seq, bool end, char* out, size_t capacity);

enum class EventKind : uint8_t { Other, Listening, Transcript, Sentence, Speaking, Done, Error, Announcement };
enum class Outcome : uint8_t { None, Completed, Interrupted, Silent, Failed };

constexpr size_t event_code_capacity = 24;
// Percent; what a reply is played at unless it is announced with another.
constexpr uint8_t full_volume = 100;

// One step of a turn, as the gateway tells it.
struct Event {
  EventKind kind = EventKind::Other;
  uint16_t turn = 0;                    // 0: it belongs to none
  Outcome outcome = Outcome::None;      // of Done
  uint16_t chunks = 0;                  // of Done: messages of audio that were sent; 0: none, or not said
  char code[event_code_capacity] = "";  // of Error: "stt_failed"
  bool started = false;                 // of Announcement: the turn is about to speak it
  uint8_t volume = full_volume;         // of Announcement
};

// Reads an `event`. False: it is no JSON object, says no "event", or a turn beyond 0xFFFF. A kind or an outcome that is
// not known is Other or None; `out` is written only when true.
bool read_event(const uint8_t* payload, size_t size, Event& out);

// What the gateway takes the device to be doing, and the last turn that ended.
struct Report {
  bool idle = false;                     // no turn runs: neither recorded nor answered
  uint16_t last_turn = 0;                // 0: none is known
  Outcome last_outcome = Outcome::None;  // of last_turn
};

// Reads a `state`. False: it is no JSON object, says no "state", or a last turn beyond 0xFFFF. A `last` that is null or
// not there leaves last_turn 0; `out` is written only when true.
bool read_report(const uint8_t* payload, size_t size, Report& out);

}  // namespace voice

#endif
