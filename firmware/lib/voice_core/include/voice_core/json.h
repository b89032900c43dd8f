// JSON in fixed buffers: a writer, and a reader of the values at the top level of an object.
#ifndef VOICE_CORE_JSON_H
#define VOICE_CORE_JSON_H

#include <stddef.h>
#include <stdint.h>

namespace voice {

// Writes one JSON text. Commas, quotes and escapes are put in; bytes that are no UTF-8 become U+FFFD. What does not fit
// is left out and told by ok(); nothing is written beyond the buffer, and the text always ends with a NUL.
class JsonWriter {
 public:
  // `capacity` in bytes, the closing NUL included, at least 1.
  JsonWriter(char* buffer, size_t capacity);

  // A key stands before each value inside an object, and none inside an array or at the top.
  JsonWriter& begin_object(const char* key = nullptr);
  JsonWriter& end_object();
  JsonWriter& begin_array(const char* key = nullptr);
  JsonWriter& end_array();
  JsonWriter& string(const char* key, const char* value);
  JsonWriter& element(const char* value);
  JsonWriter& integer(const char* key, int32_t value);
  JsonWriter& boolean(const char* key, bool value);

  // Whether everything fitted.
  bool ok() const { return ok_; }
  // Bytes written, without the NUL; 0 unless ok().
  size_t size() const { return ok_ ? size_ : 0; }

 private:
  void put(char c);
  void put_text(const char* text);
  void put_quoted(const char* text);
  void before_value(const char* key);

  char* buffer_;
  size_t capacity_;
  size_t size_ = 0;
  bool ok_ = true;
  bool comma_ = false;
};

// Each finds the value of `key` at the top level of the JSON object `text`; of two equal keys the last counts, as the
// gateway reads them. False: the text is not one whole valid JSON object (nested at most 32 deep), the key is not
// there, or its value is of another kind or does not fit. Never reads beyond `size`; no NUL is needed.

// The value in UTF-8 and a NUL, in `capacity` bytes; one that contains U+0000 is refused. `out` is "" when false.
bool json_find_string(const char* text, size_t size, const char* key, char* out, size_t capacity);
// A whole number, written without fraction or exponent, that fits.
bool json_find_int(const char* text, size_t size, const char* key, int32_t& out);
bool json_find_bool(const char* text, size_t size, const char* key, bool& out);
// An object in place: `out` points into `text`, and is a text for these same functions. Unchanged when false.
bool json_find_object(const char* text, size_t size, const char* key, const char*& out, size_t& out_size);

}  // namespace voice

#endif
