#include "serial_console.h"

#include <Arduino.h>
#include <string.h>

namespace shell {
namespace {

// Splits off the first word of `text`, in place; returns the rest, without the spaces before it.
char* split(char* text) {
  char* rest = text + strcspn(text, " ");
  if (*rest != '\0') *rest++ = '\0';
  return rest + strspn(rest, " ");
}

void restart() {
  Serial.println("restarting");
  Serial.flush();
  ESP.restart();
}

struct Figure {
  const char* name;
  uint32_t voice::Counters::*value;
};

constexpr Figure figures[] = {
    {"utterances", &voice::Counters::utterances},
    {"utterances_lost", &voice::Counters::utterances_lost},
    {"short_presses", &voice::Counters::short_presses},
    {"frames_sent", &voice::Counters::frames_sent},
    {"frames_dropped", &voice::Counters::frames_dropped},
    {"publish_refused", &voice::Counters::publish_refused},
    {"microphone_failed", &voice::Counters::microphone_failed},
    {"replies", &voice::Counters::replies},
    {"replies_heard", &voice::Counters::replies_heard},
    {"replies_aborted", &voice::Counters::replies_aborted},
    {"replies_cancelled", &voice::Counters::replies_cancelled},
    {"replies_missing", &voice::Counters::replies_missing},
    {"replies_stalled", &voice::Counters::replies_stalled},
    {"announcements", &voice::Counters::announcements},
    {"frames_received", &voice::Counters::frames_received},
    {"frames_lost", &voice::Counters::frames_lost},
    {"frames_late", &voice::Counters::frames_late},
    {"frames_duplicate", &voice::Counters::frames_duplicate},
    {"frames_stale", &voice::Counters::frames_stale},
    {"frames_overflowed", &voice::Counters::frames_overflowed},
    {"frames_bad", &voice::Counters::frames_bad},
    {"messages_unframed", &voice::Counters::messages_unframed},
    {"messages_misplaced", &voice::Counters::messages_misplaced},
    {"events_bad", &voice::Counters::events_bad},
    {"errors_told", &voice::Counters::errors_told},
    {"underruns", &voice::Counters::underruns},
    {"speaker_starved", &voice::Counters::speaker_starved},
    {"undecodable_bytes", &voice::Counters::undecodable_bytes},
    {"tones", &voice::Counters::tones},
};

}  // namespace

void SerialConsole::poll() {
  while (Serial.available() > 0) {
    const int byte = Serial.read();
    if (byte == '\n' || byte == '\r') {
      line_[length_] = '\0';
      if (too_long_) {
        Serial.printf("a line has at most %u characters\n", static_cast<unsigned>(sizeof(line_) - 1));
      } else if (length_ > 0) {
        run(line_);
      }
      length_ = 0;
      too_long_ = false;
    } else if (length_ + 1 < sizeof(line_)) {
      line_[length_++] = static_cast<char>(byte);
    } else {
      too_long_ = true;
    }
  }
}

void SerialConsole::run(char* line) {
  char* command = line + strspn(line, " ");
  char* arguments = split(command);
  if (*command == '\0') return;
  if (strcmp(command, "help") == 0) return help();
  if (strcmp(command, "show") == 0) return show();
  if (strcmp(command, "status") == 0) return status();
  if (strcmp(command, "set") == 0) return set(arguments);
  if (strcmp(command, "save") == 0) return save();
  if (strcmp(command, "restart") == 0) return restart();
  if (strcmp(command, "factory-reset") == 0) {
    settings_.factory_reset();
    return restart();
  }
  // Not repeated in full: what was mistyped may be a password.
  Serial.println("unknown command. Try: help");
}

void SerialConsole::help() const {
  Serial.println("show                 the settings");
  Serial.println("status               what the device is doing, and its counters");
  Serial.println("set <name> <value>   change a setting; without a value it is emptied");
  for (size_t i = 0; i < Settings::count; ++i) {
    const Field& field = Settings::field(static_cast<Key>(i));
    Serial.printf("    %-14s %s\n", field.name, field.allowed);
  }
  Serial.println("save                 keep the settings and restart with them");
  Serial.println("restart              without saving");
  Serial.println("factory-reset        forget every setting made here and the UUID, and restart");
  Serial.println(
      "Example: set wifi_ssid Home; set wifi_password ...; set mqtt_host 192.168.1.10; save (each on its line)");
}

void SerialConsole::show() const {
  for (size_t i = 0; i < Settings::count; ++i) {
    const Key key = static_cast<Key>(i);
    const Field& field = Settings::field(key);
    const char* value = settings_.get(key);
    Serial.printf("%-14s %s\n", field.name, value[0] == '\0' ? "(not set)" : field.secret ? "(set)" : value);
  }
}

void SerialConsole::status() const {
  Serial.printf("state %s, topics like %s, memory free %u bytes\n", voice::name(node_.state()), node_.topics().in(),
                static_cast<unsigned>(ESP.getFreeHeap()));
  const voice::Counters& counters = node_.counters();
  for (const Figure& figure : figures) {
    const uint32_t value = counters.*figure.value;
    if (value > 0) Serial.printf("%-20s %u\n", figure.name, static_cast<unsigned>(value));
  }
  for (unsigned state = 0; state < voice::state_count; ++state) {
    for (unsigned move = 0; move < voice::move_count; ++move) {
      const uint32_t value = counters.refused_moves[state][move];
      if (value == 0) continue;
      Serial.printf("refused: %s while %s %u\n", voice::name(static_cast<voice::Move>(move)),
                    voice::name(static_cast<voice::State>(state)), static_cast<unsigned>(value));
    }
  }
}

void SerialConsole::set(char* arguments) {
  char* value = split(arguments);
  Key key;
  if (!Settings::find(arguments, key)) {
    Serial.println("there is no such setting. Try: help");
    return;
  }
  const Field& field = Settings::field(key);
  if (!settings_.set(key, value)) {
    Serial.printf("%s must be: %s\n", field.name, field.allowed);
    return;
  }
  Serial.printf("%s %s (after: save)\n", field.name, value[0] == '\0' ? "emptied" : field.secret ? "set" : value);
}

void SerialConsole::save() {
  if (!settings_.save()) {
    Serial.println("the settings could not be written to flash; nothing was restarted. Try: factory-reset");
    return;
  }
  restart();
}

}  // namespace shell
