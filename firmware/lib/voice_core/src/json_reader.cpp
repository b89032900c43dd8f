// Nothing is kept of a text but where the wanted value lies: the whole of it is checked each time, without recursion,
// so that neither its size nor its nesting costs memory.
#include <string.h>

#include "utf8.h"
#include "voice_core/json.h"

namespace voice {
namespace {

constexpr size_t deepest = 32;

struct Span {
  const char* begin;
  const char* end;
};

class Scanner {
 public:
  Scanner(const char* text, size_t size) : at_(text), end_(text + size) {}

  const char* at() const { return at_; }
  bool at_end() const { return at_ == end_; }

  bool take(char c) {
    if (at_ == end_ || *at_ != c) return false;
    at_++;
    return true;
  }

  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\n' || *at_ == '\r')) at_++;
  }

  // Passes what stands between quotes, quotes included.
  bool skip_string() {
    if (!take('"')) return false;
    while (!take('"')) {
      char character[4];
      size_t length;
      if (!next_character(character, length)) return false;
    }
    return true;
  }

  // Passes one character of a string, escaped or not, and writes it in UTF-8. A lone half of a surrogate pair is
  // U+FFFD: Python's json writes such, and a text is worth reading all the same.
  bool next_character(char* out, size_t& length) {
    if (at_ == end_ || static_cast<unsigned char>(*at_) < 0x20) return false;
    if (*at_ != '\\') {
      length = utf8_length(at_, static_cast<size_t>(end_ - at_));
      memcpy(out, at_, length);
      at_ += length;
      return length > 0;
    }
    at_++;
    if (at_ == end_) return false;
    const char escape = *at_++;
    uint32_t code;
    switch (escape) {
      case '"':
      case '\\':
      case '/':
        code = static_cast<uint32_t>(escape);
        break;
      case 'b':
        code = '\b';
        break;
      case 'f':
        code = '\f';
        break;
      case 'n':
        code = '\n';
        break;
      case 'r':
        code = '\r';
        break;
      case 't':
        code = '\t';
        break;
      case 'u':
        if (!take_hex(code)) return false;
        code = with_low_surrogate(code);
        break;
      default:
        return false;
    }
    length = encode(code, out);
    return true;
  }

  // Passes one value of any kind.
  bool skip_value() {
    // Bit n says whether level n is an object; else it is an array. The object around all counts as a level.
    uint32_t objects = 0;
    size_t depth = 0;
    for (;;) {
      bool opened = false;
      if (at_ != end_ && (*at_ == '{' || *at_ == '[')) {
        if (depth + 1 == deepest) return false;
        objects = *at_ == '{' ? objects | 1U << depth : objects & ~(1U << depth);
        depth++;
        at_++;
        opened = true;
      } else if (!skip_scalar()) {
        return false;
      }
      // Close what ends here, then stand before the next value.
      for (;;) {
        if (depth == 0) return true;
        const bool object = (objects >> (depth - 1) & 1) != 0;
        skip_space();
        if (take(object ? '}' : ']')) {
          depth--;
          opened = false;
          continue;
        }
        if (!opened && !take(',')) return false;
        skip_space();
        if (object && !skip_key()) return false;
        break;
      }
    }
  }

  // Passes the colon after a key and the space around it.
  bool skip_colon() {
    skip_space();
    if (!take(':')) return false;
    skip_space();
    return true;
  }

 private:
  bool skip_key() { return skip_string() && skip_colon(); }

  bool skip_scalar() {
    if (at_ == end_) return false;
    switch (*at_) {
      case '"':
        return skip_string();
      case 't':
        return skip_word("true");
      case 'f':
        return skip_word("false");
      case 'n':
        return skip_word("null");
      default:
        return skip_number();
    }
  }

  bool skip_word(const char* word) {
    for (; *word != '\0'; word++) {
      if (!take(*word)) return false;
    }
    return true;
  }

  bool skip_number() {
    take('-');
    if (!take('0') && !skip_digits()) return false;
    if (take('.') && !skip_digits()) return false;
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      return skip_digits();
    }
    return true;
  }

  bool skip_digits() {
    const char* const begin = at_;
    while (at_ != end_ && *at_ >= '0' && *at_ <= '9') at_++;
    return at_ != begin;
  }

  bool take_hex(uint32_t& code) {
    code = 0;
    for (int i = 0; i < 4; i++) {
      if (at_ == end_) return false;
      const char c = *at_++;
      uint32_t digit;
      if (c >= '0' && c <= '9') {
        digit = static_cast<uint32_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        digit = static_cast<uint32_t>(c - 'a') + 10;
      } else if (c >= 'A' && c <= 'F') {
        digit = static_cast<uint32_t>(c - 'A') + 10;
      } else {
        return false;
      }
      code = code << 4 | digit;
    }
    return true;
  }

  uint32_t with_low_surrogate(uint32_t code) {
    if (code < 0xD800 || code > 0xDFFF) return code;
    const char* const before = at_;
    uint32_t low;
    if (code < 0xDC00 && take('\\') && take('u') && take_hex(low) && low >= 0xDC00 && low <= 0xDFFF) {
      return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    at_ = before;
    return 0xFFFD;
  }

  static size_t encode(uint32_t code, char* out) {
    const auto continuation = [code](int shift) { return static_cast<char>(0x80 | (code >> shift & 0x3F)); };
    if (code < 0x80) {
      out[0] = static_cast<char>(code);
      return 1;
    }
    if (code < 0x800) {
      out[0] = static_cast<char>(0xC0 | code >> 6);
      out[1] = continuation(0);
      return 2;
    }
    if (code < 0x10000) {
      out[0] = static_cast<char>(0xE0 | code >> 12);
      out[1] = continuation(6);
      out[2] = continuation(0);
      return 3;
    }
    out[0] = static_cast<char>(0xF0 | code >> 18);
    out[1] = continuation(12);
    out[2] = continuation(6);
    out[3] = continuation(0);
    return 4;
  }

  const char* at_;
  const char* end_;
};

// Decodes the checked string `from` (quotes included) into `out`; false if it does not fit or contains U+0000.
bool decode_string(Span from, char* out, size_t capacity) {
  Scanner scanner(from.begin, static_cast<size_t>(from.end - from.begin));
  scanner.take('"');
  size_t used = 0;
  while (!scanner.take('"')) {
    char character[4];
    size_t length;
    if (!scanner.next_character(character, length)) return false;
    if (character[0] == '\0' || used + length >= capacity) return false;
    memcpy(out + used, character, length);
    used += length;
  }
  if (used >= capacity) return false;
  out[used] = '\0';
  return true;
}

bool equals(Span quoted, const char* key) {
  Scanner scanner(quoted.begin, static_cast<size_t>(quoted.end - quoted.begin));
  scanner.take('"');
  while (!scanner.take('"')) {
    char character[4];
    size_t length;
    if (!scanner.next_character(character, length)) return false;
    for (size_t i = 0; i < length; i++) {
      // A NUL in the text ends no key: it is compared with the end of this one, and that is not it.
      if (*key == '\0' || *key != character[i]) return false;
      key++;
    }
  }
  return *key == '\0';
}

bool find(const char* text, size_t size, const char* key, Span& value) {
  Scanner scanner(text, size);
  bool found = false;
  scanner.skip_space();
  if (!scanner.take('{')) return false;
  scanner.skip_space();
  if (!scanner.take('}')) {
    do {
      scanner.skip_space();
      const char* const begin = scanner.at();
      if (!scanner.skip_string()) return false;
      const Span name{begin, scanner.at()};
      if (!scanner.skip_colon()) return false;
      const char* const value_begin = scanner.at();
      if (!scanner.skip_value()) return false;
      if (equals(name, key)) {
        value = {value_begin, scanner.at()};
        found = true;
      }
      scanner.skip_space();
    } while (scanner.take(','));
    if (!scanner.take('}')) return false;
  }
  scanner.skip_space();
  return found && scanner.at_end();
}

}  // namespace

bool json_find_string(const char* text, size_t size, const char* key, char* out, size_t capacity) {
  Span value;
  if (find(text, size, key, value) && *value.begin == '"' && decode_string(value, out, capacity)) return true;
  if (capacity > 0) out[0] = '\0';
  return false;
}

bool json_find_int(const char* text, size_t size, const char* key, int32_t& out) {
  Span value;
  if (!find(text, size, key, value)) return false;
  const bool negative = *value.begin == '-';
  const uint32_t largest = negative ? 0x80000000U : 0x7FFFFFFFU;
  uint32_t magnitude = 0;
  for (const char* at = value.begin + (negative ? 1 : 0); at != value.end; at++) {
    if (*at < '0' || *at > '9') return false;
    const uint32_t digit = static_cast<uint32_t>(*at - '0');
    if (magnitude > (largest - digit) / 10) return false;
    magnitude = 10 * magnitude + digit;
  }
  out = static_cast<int32_t>(negative ? 0U - magnitude : magnitude);
  return true;
}

bool json_find_bool(const char* text, size_t size, const char* key, bool& out) {
  Span value;
  if (!find(text, size, key, value) || (*value.begin != 't' && *value.begin != 'f')) return false;
  out = *value.begin == 't';
  return true;
}

bool json_find_object(const char* text, size_t size, const char* key, const char*& out, size_t& out_size) {
  Span value;
  if (!find(text, size, key, value) || *value.begin != '{') return false;
  out = value.begin;
  out_size = static_cast<size_t>(value.end - value.begin);
  return true;
}

}  // namespace voice
