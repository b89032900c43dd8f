#ifndef HOST_ARDUINO_PRINT_H
#define HOST_ARDUINO_PRINT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "WString.h"

#define DEC 10
#define HEX 16

class Print {
 public:
  virtual ~Print() = default;
  virtual size_t write(uint8_t byte) = 0;
  virtual size_t write(const uint8_t* bytes, size_t size);
  size_t write(const char* text) { return write(reinterpret_cast<const uint8_t*>(text), strlen(text)); }
  size_t write(const char* bytes, size_t size) { return write(reinterpret_cast<const uint8_t*>(bytes), size); }
  virtual void flush() {}

  size_t printf(const char* format, ...) __attribute__((format(printf, 2, 3)));
  size_t print(const char* text) { return write(text); }
  size_t print(const String& text) { return write(text.c_str()); }
  size_t print(char character) { return write(static_cast<uint8_t>(character)); }
  size_t print(int value, int base = DEC) { return print(static_cast<long>(value), base); }
  size_t print(unsigned int value, int base = DEC) { return print(static_cast<unsigned long>(value), base); }
  size_t print(long value, int base = DEC);
  size_t print(unsigned long value, int base = DEC);

  size_t println() { return write("\r\n"); }
  template <typename... Values>
  size_t println(const Values&... values) {
    const size_t printed = print(values...);
    return printed + println();
  }
};

#endif
