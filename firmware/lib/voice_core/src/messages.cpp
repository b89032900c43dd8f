#include "voice_core/messages.h"

#include <string.h>

#include "voice_core/json.h"

namespace voice {
namespace {

// Longer than every name the contract has; a longer one is no event of ours.
constexpr size_t name_capacity = 32;

template <typename Value>
struct Name {
  const char* text;
  Value value;
};

constexpr Name<EventKind> kinds[] = {
    {"listening", EventKind::Listening},
    {"transcript", EventKind::Transcript},
    {"sentence", EventKind::Sentence},
    {"speaking", EventKind::Speaking},
    {"done", EventKind::Done},
    {"error", EventKind::Error},
    {"announcement", EventKind::Announcement},
};
constexpr Name<Outcome> outcomes[] = {
    {"completed", Outcome::Completed},
    {"interrupted", Outcome::Interrupted},
    {"silent", Outcome::Silent},
    {"failed", Outcome::Failed},
};

template <typename Value, size_t N>
Value named(const Name<Value> (&names)[N], const char* text, Value otherwise) {
  for (const Name<Value>& name : names) {
    if (strcmp(name.text, text) == 0) return name.value;
  }
  return otherwise;
}

void string_if_said(JsonWriter& json, const char* key, const char* value) {
  if (value[0] != '\0') json.string(key, value);
}

// Not said, or null: it belongs to no turn, which is 0. False: it is beyond 0xFFFF.
bool read_turn(const char* text, size_t size, uint16_t& out) {
  int32_t turn = 0;
  json_find_int(text, size, "turn", turn);
  if (turn < 0 || turn > UINT16_MAX) return false;
  out = static_cast<uint16_t>(turn);
  return true;
}

Outcome read_outcome(const char* text, size_t size) {
  char name[name_capacity];
  if (!json_find_string(text, size, "outcome", name, sizeof(name))) return Outcome::None;
  return named(outcomes, name, Outcome::None);
}

}  // namespace

size_t write_hello(const Hello& hello, char* out, size_t capacity) {
  JsonWriter json(out, capacity);
  json.begin_object().integer("v", 1);
  string_if_said(json, "name", hello.name);
  string_if_said(json, "firmware", hello.firmware);
  string_if_said(json, "board", hello.board);
  json.integer("max_packet", hello.max_packet).integer("buffer_ms", hello.buffer_ms);
  json.begin_array("codecs").element("pcm").element("adpcm").end_array();
  json.integer("rate", hello.rate);
  json.begin_object("reply").integer("rate", hello.reply_rate).integer("bitrate_kbps", hello.reply_bitrate_kbps);
  json.end_object();
  string_if_said(json, "language", hello.language);
  if (hello.end_of_speech_ms > 0) json.integer("end_of_speech", hello.end_of_speech_ms);
  json.end_object();
  return json.size();
}

size_t write_hello_rssi(char* hello, size_t size, int8_t rssi) {
  if (rssi == 0) {
    hello[size - 1] = '}';
    hello[size] = '\0';
    return size;
  }
  hello[size - 1] = ',';
  JsonWriter json(hello + size, hello_rssi_size + 1);
  json.integer("rssi", rssi).end_object();
  return size + json.size();
}

size_t write_abort(char* out, size_t capacity) {
  JsonWriter json(out, capacity);
  json.begin_object().string("type", "abort").end_object();
  return json.size();
}

size_t write_played(uint16_t turn, uint16_t seq, bool end, char* out, size_t capacity) {
  JsonWriter json(out, capacity);
  json.begin_object().string("type", "played").integer("turn", turn).integer("seq", seq);
  if (end) json.boolean("end", true);
  json.end_object();
  return json.size();
}

bool read_event(const uint8_t* payload, size_t size, Event& out) {
  const char* const text = reinterpret_cast<const char*>(payload);
  char name[name_capacity];
  if (!json_find_string(text, size, "event", name, sizeof(name))) return false;
  Event event;
  if (!read_turn(text, size, event.turn)) return false;
  event.kind = named(kinds, name, EventKind::Other);
  if (event.kind == EventKind::Done) {
    event.outcome = read_outcome(text, size);
    int32_t chunks = 0;
    if (json_find_int(text, size, "chunks", chunks) && chunks > 0 && chunks <= UINT16_MAX) {
      event.chunks = static_cast<uint16_t>(chunks);
    }
  }
  if (event.kind == EventKind::Announcement) {
    char status[name_capacity];
    event.started = json_find_string(text, size, "status", status, sizeof(status)) && strcmp(status, "started") == 0;
    int32_t volume = 0;
    if (json_find_int(text, size, "volume", volume) && volume >= 0 && volume <= full_volume) {
      event.volume = static_cast<uint8_t>(volume);
    }
  }
  if (event.kind == EventKind::Error) json_find_string(text, size, "code", event.code, sizeof(event.code));
  out = event;
  return true;
}

bool read_report(const uint8_t* payload, size_t size, Report& out) {
  const char* const text = reinterpret_cast<const char*>(payload);
  char name[name_capacity];
  if (!json_find_string(text, size, "state", name, sizeof(name))) return false;
  Report report;
  report.idle = strcmp(name, "idle") == 0;
  const char* last;
  size_t last_size;
  if (json_find_object(text, size, "last", last, last_size)) {
    if (!read_turn(last, last_size, report.last_turn)) return false;
    report.last_outcome = read_outcome(last, last_size);
  }
  out = report;
  return true;
}

}  // namespace voice
