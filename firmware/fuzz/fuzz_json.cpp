// Any text: the reader stays within it, and finds what another reader finds wherever that one can read it at all. Any
// string: what the writer makes of it can be read by both.
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "voice_core/json.h"
#include "voice_core/messages.h"

using nlohmann::json;

namespace {

constexpr size_t largest_value = 64;

void require(bool holds) {
  if (!holds) abort();
}

// The other reader skips a byte order mark, takes a NUL for the end, and has no limit of depth.
bool comparable(const std::string& text, const json& other) {
  size_t opened = 0;
  for (const char c : text) opened += c == '{' || c == '[';
  return other.is_object() && opened <= 32 && text.compare(0, 3, "\xEF\xBB\xBF") != 0 &&
         text.find('\0') == std::string::npos;
}

void compare(const std::string& text) {
  char found[largest_value];
  int32_t number;
  bool flag;
  const char* inner;
  size_t inner_size;
  const json other = json::parse(text, nullptr, false);
  if (!comparable(text, other)) return;
  for (const auto& [key, value] : other.items()) {
    if (key.find('\0') != std::string::npos) continue;
    const bool is_string = voice::json_find_string(text.data(), text.size(), key.c_str(), found, sizeof(found));
    const bool fits = value.is_string() && value.get_ref<const std::string&>().size() < sizeof(found) &&
                      value.get_ref<const std::string&>().find('\0') == std::string::npos;
    require(is_string == fits);
    if (is_string) require(value.get_ref<const std::string&>() == found);
    if (voice::json_find_int(text.data(), text.size(), key.c_str(), number)) require(value == number);
    require(voice::json_find_bool(text.data(), text.size(), key.c_str(), flag) == value.is_boolean());
    if (value.is_boolean()) require(value == flag);
    const bool is_object = voice::json_find_object(text.data(), text.size(), key.c_str(), inner, inner_size);
    require(is_object == value.is_object());
    if (!is_object) continue;
    const std::string object(inner, inner_size);
    require(json::parse(object, nullptr, false) == value);
    compare(object);
  }
}

void write(const std::string& text) {
  // Of each byte an escape of six at most.
  std::string buffer(6 * text.size() + 32, '~');
  voice::JsonWriter writer(buffer.data(), buffer.size());
  writer.begin_object().string("k", text.c_str()).end_object();
  require(writer.ok());
  buffer.resize(writer.size());
  const json other = json::parse(buffer, nullptr, false);
  require(other.is_object());
  std::string read(buffer.size(), '~');
  require(voice::json_find_string(buffer.data(), buffer.size(), "k", read.data(), read.size()));
  require(other["k"] == read.c_str());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  compare(text);
  write(text);
  voice::Event event;
  if (voice::read_event(data, size, event)) require(strnlen(event.code, sizeof(event.code)) < sizeof(event.code));
  voice::Report report;
  voice::read_report(data, size, report);
  return 0;
}
