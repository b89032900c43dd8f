#include <string.h>

#include "utf8.h"
#include "voice_core/json.h"

namespace voice {
namespace {

constexpr char hex_digits[] = "0123456789abcdef";
constexpr char replacement[] = "\xEF\xBF\xBD";

}  // namespace

JsonWriter::JsonWriter(char* buffer, size_t capacity) : buffer_(buffer), capacity_(capacity) { buffer_[0] = '\0'; }

JsonWriter& JsonWriter::begin_object(const char* key) {
  before_value(key);
  put('{');
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::end_object() {
  put('}');
  comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::begin_array(const char* key) {
  before_value(key);
  put('[');
  comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::end_array() {
  put(']');
  comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::string(const char* key, const char* value) {
  before_value(key);
  put_quoted(value);
  return *this;
}

JsonWriter& JsonWriter::element(const char* value) { return string(nullptr, value); }

JsonWriter& JsonWriter::integer(const char* key, int32_t value) {
  before_value(key);
  // Digits from the last; the magnitude of the smallest number fits only unsigned.
  char digits[10];
  size_t count = 0;
  uint32_t rest = value < 0 ? 0U - static_cast<uint32_t>(value) : static_cast<uint32_t>(value);
  do {
    digits[count++] = static_cast<char>('0' + rest % 10);
    rest /= 10;
  } while (rest > 0);
  if (value < 0) put('-');
  while (count > 0) put(digits[--count]);
  return *this;
}

JsonWriter& JsonWriter::boolean(const char* key, bool value) {
  before_value(key);
  put_text(value ? "true" : "false");
  return *this;
}

void JsonWriter::put(char c) {
  if (!ok_ || size_ + 1 >= capacity_) {
    ok_ = false;
    return;
  }
  buffer_[size_++] = c;
  buffer_[size_] = '\0';
}

void JsonWriter::put_text(const char* text) {
  for (; *text != '\0'; text++) put(*text);
}

void JsonWriter::put_quoted(const char* text) {
  put('"');
  const size_t size = strlen(text);
  for (size_t at = 0; at < size;) {
    const char c = text[at];
    const size_t length = utf8_length(text + at, size - at);
    if (length == 0) {
      put_text(replacement);
    } else if (c == '"' || c == '\\') {
      put('\\');
      put(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      put_text("\\u00");
      put(hex_digits[c >> 4]);
      put(hex_digits[c & 15]);
    } else {
      for (size_t i = 0; i < length; i++) put(text[at + i]);
    }
    at += length > 0 ? length : 1;
  }
  put('"');
}

void JsonWriter::before_value(const char* key) {
  if (comma_) put(',');
  comma_ = true;
  if (key != nullptr) {
    put_quoted(key);
    put(':');
  }
}

}  // namespace voice
