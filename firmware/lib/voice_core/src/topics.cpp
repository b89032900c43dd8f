#include "voice_core/topics.h"

#include <string.h>

#include "utf8.h"

namespace voice {
namespace {

bool in_device_id(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
         c == ':' || c == '.';
}

char* append(char* to, const char* text) {
  const size_t length = strlen(text);
  memcpy(to, text, length + 1);
  return to + length;
}

void spell(char* topic, const char* root, const char* device_id, const char* leaf) {
  append(append(append(append(append(topic, root), "/"), device_id), "/"), leaf);
}

}  // namespace

bool valid_device_id(const char* id) {
  size_t length = 0;
  for (; id[length] != '\0'; length++) {
    if (length == config::device_id_length || !in_device_id(id[length])) return false;
  }
  return length > 0 && strcmp(id, "gateway") != 0;
}

bool valid_root(const char* root) {
  const size_t size = strlen(root);
  if (size == 0 || size > config::root_length || root[0] == '$' || root[0] == '/' || root[size - 1] == '/') {
    return false;
  }
  for (size_t at = 0; at < size;) {
    const char c = root[at];
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    if (control || c == '+' || c == '#' || (c == '/' && root[at + 1] == '/')) return false;
    const size_t length = utf8_length(root + at, size - at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

bool Topics::set(const char* root, const char* device_id) {
  if (!valid_root(root) || !valid_device_id(device_id)) return false;
  spell(in_, root, device_id, "in");
  spell(out_, root, device_id, "out");
  spell(hello_, root, device_id, "hello");
  spell(control_, root, device_id, "control");
  spell(event_, root, device_id, "event");
  spell(state_, root, device_id, "state");
  spell(online_, root, device_id, "online");
  return true;
}

}  // namespace voice
