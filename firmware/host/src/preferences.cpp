#include "Preferences.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <fstream>
#include <map>
#include <sstream>

#include "options.h"

namespace {

constexpr size_t longest_name = 15;
constexpr size_t longest_string = 3999;

// "namespace key" -> "type value". In the file one line each; values are in hexadecimal.
using Entries = std::map<std::string, std::string>;

std::string to_hex(const std::string& bytes) {
  std::string hex;
  for (const char byte : bytes) {
    char digits[3];
    snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(byte));
    hex += digits;
  }
  return hex;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(strtoul(hex.substr(i, 2).c_str(), nullptr, 16));
  }
  return bytes;
}

Entries read_file(const std::string& path) {
  Entries entries;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    std::string name, key, type, value;
    fields >> name >> key >> type >> value;
    entries[name + " " + key] = type + " " + from_hex(value);
  }
  return entries;
}

// The memory of the chip. One that has no file lasts as long as the process.
Entries& entries() {
  static Entries memory = read_file(host::options().nvs);
  return memory;
}

void save() {
  const std::string& path = host::options().nvs;
  if (path.empty()) return;
  const std::string draft = path + ".new";
  umask(077);  // it holds the passwords
  {
    std::ofstream file(draft);
    for (const auto& entry : entries()) {
      const size_t space = entry.second.find(' ');
      file << entry.first << " " << entry.second.substr(0, space) << " " << to_hex(entry.second.substr(space + 1))
           << "\n";
    }
  }
  if (rename(draft.c_str(), path.c_str()) != 0) perror(("virtual-board: cannot write " + path).c_str());
}

bool valid(const char* name) { return *name != '\0' && strlen(name) <= longest_name; }

}  // namespace

bool Preferences::begin(const char* name, bool read_only) {
  if (open_ || !valid(name)) return false;
  name_ = name;
  read_only_ = read_only;
  if (read_only) {  // as on the chip, where a namespace exists from its first key on
    const auto first = entries().lower_bound(name_ + " ");
    if (first == entries().end() || first->first.rfind(name_ + " ", 0) != 0) return false;
  }
  open_ = true;
  return true;
}

bool Preferences::clear() {
  if (!open_ || read_only_) return false;
  const std::string prefix = name_ + " ";
  for (auto entry = entries().lower_bound(prefix); entry != entries().end() && entry->first.rfind(prefix, 0) == 0;) {
    entry = entries().erase(entry);
  }
  save();
  return true;
}

bool Preferences::remove(const char* key) {
  if (!open_ || read_only_ || entries().erase(name_ + " " + key) == 0) return false;
  save();
  return true;
}

bool Preferences::isKey(const char* key) { return open_ && entries().count(name_ + " " + key) != 0; }

size_t Preferences::put(const char* key, const char* type, const std::string& value, size_t size) {
  if (!open_ || read_only_ || !valid(key)) return 0;
  entries()[name_ + " " + key] = std::string(type) + " " + value;
  save();
  return size;
}

size_t Preferences::putString(const char* key, const char* value) {
  return strlen(value) > longest_string ? 0 : put(key, "str", value, strlen(value));
}

uint32_t Preferences::number(const char* key, const char* type, uint32_t fallback) {
  const auto found = entries().find(name_ + " " + key);
  const std::string prefix = std::string(type) + " ";
  if (!open_ || found == entries().end() || found->second.rfind(prefix, 0) != 0) return fallback;
  return static_cast<uint32_t>(strtoul(found->second.c_str() + prefix.size(), nullptr, 10));
}

String Preferences::getString(const char* key, const String& fallback) {
  const auto found = entries().find(name_ + " " + key);
  if (!open_ || found == entries().end() || found->second.rfind("str ", 0) != 0) return fallback;
  return String(found->second.c_str() + 4);
}

size_t Preferences::getString(const char* key, char* value, size_t capacity) {
  if (!isKey(key)) return 0;
  const String text = getString(key);
  if (text.length() + 1 > capacity) return 0;
  memcpy(value, text.c_str(), text.length() + 1);
  return text.length() + 1;
}
