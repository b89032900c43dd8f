// The String of the Arduino core: the part that the firmware uses.
#ifndef HOST_ARDUINO_WSTRING_H
#define HOST_ARDUINO_WSTRING_H

#include <stddef.h>

#include <string>

class String {
 public:
  String(const char* text = "") : text_(text == nullptr ? "" : text) {}
  String(const char* text, size_t length) : text_(text, length) {}
  explicit String(char character) : text_(1, character) {}
  explicit String(int value) : text_(std::to_string(value)) {}
  explicit String(unsigned int value) : text_(std::to_string(value)) {}
  explicit String(long value) : text_(std::to_string(value)) {}
  explicit String(unsigned long value) : text_(std::to_string(value)) {}

  const char* c_str() const { return text_.c_str(); }
  unsigned int length() const { return static_cast<unsigned int>(text_.size()); }
  bool isEmpty() const { return text_.empty(); }
  bool reserve(unsigned int size) {
    text_.reserve(size);
    return true;
  }
  char charAt(unsigned int index) const { return index < text_.size() ? text_[index] : '\0'; }
  char operator[](unsigned int index) const { return charAt(index); }

  bool concat(const String& other) {
    text_ += other.text_;
    return true;
  }
  String& operator+=(const String& other) {
    text_ += other.text_;
    return *this;
  }
  String& operator+=(char character) {
    text_ += character;
    return *this;
  }

  bool equals(const String& other) const { return text_ == other.text_; }
  bool equalsIgnoreCase(const String& other) const;
  bool startsWith(const String& prefix) const { return text_.rfind(prefix.text_, 0) == 0; }
  bool endsWith(const String& suffix) const;
  int indexOf(char character, unsigned int from = 0) const;
  int indexOf(const String& part, unsigned int from = 0) const;
  String substring(unsigned int begin, unsigned int end = static_cast<unsigned int>(-1)) const;
  void trim();
  void toLowerCase();
  void toUpperCase();
  // 0 where there is no number.
  long toInt() const;

  friend bool operator==(const String& a, const String& b) { return a.text_ == b.text_; }
  friend bool operator!=(const String& a, const String& b) { return a.text_ != b.text_; }
  friend String operator+(String a, const String& b) { return a += b; }
  friend String operator+(String a, char b) { return a += b; }

 private:
  std::string text_;
};

// Strings in flash memory are ordinary strings here.
class __FlashStringHelper;
#define F(text) (text)

#endif
