// Telling UTF-8 from other bytes (RFC 3629, section 4).
#ifndef VOICE_CORE_UTF8_H
#define VOICE_CORE_UTF8_H

#include <stddef.h>
#include <stdint.h>

namespace voice {

// Bytes of the character that `text` begins with, 1 to 4; 0: it begins with none, or one that is cut short, longer
// than it need be, a surrogate, or beyond U+10FFFF.
inline size_t utf8_length(const char* text, size_t size) {
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  if (size == 0) return 0;
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || size < length) return 0;
  for (size_t i = 1; i < length; i++) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const uint8_t second = byte(1);
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90) ||
      (first == 0xF4 && second > 0x8F)) {
    return 0;
  }
  return length;
}

}  // namespace voice

#endif
