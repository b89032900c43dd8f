#include "WString.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include <algorithm>

bool String::equalsIgnoreCase(const String& other) const { return strcasecmp(c_str(), other.c_str()) == 0; }

bool String::endsWith(const String& suffix) const {
  return text_.size() >= suffix.text_.size() &&
         text_.compare(text_.size() - suffix.text_.size(), suffix.text_.size(), suffix.text_) == 0;
}

int String::indexOf(char character, unsigned int from) const {
  const size_t at = text_.find(character, from);
  return at == std::string::npos ? -1 : static_cast<int>(at);
}

int String::indexOf(const String& part, unsigned int from) const {
  const size_t at = text_.find(part.text_, from);
  return at == std::string::npos ? -1 : static_cast<int>(at);
}

String String::substring(unsigned int begin, unsigned int end) const {
  const size_t last = std::min<size_t>(end, text_.size());
  if (begin >= last) return String();
  return String(text_.c_str() + begin, last - begin);
}

void String::trim() {
  const char* const blanks = " \t\r\n\v\f";
  const size_t first = text_.find_first_not_of(blanks);
  if (first == std::string::npos) {
    text_.clear();
    return;
  }
  text_ = text_.substr(first, text_.find_last_not_of(blanks) - first + 1);
}

void String::toLowerCase() {
  for (char& character : text_) character = static_cast<char>(tolower(static_cast<unsigned char>(character)));
}

void String::toUpperCase() {
  for (char& character : text_) character = static_cast<char>(toupper(static_cast<unsigned char>(character)));
}

long String::toInt() const { return strtol(c_str(), nullptr, 10); }
