#include "room.h"

#include <utility>

#include "clock.h"
#include "console.h"
#include "wav.h"

namespace host {

namespace {

// Hz in which the sound is kept; fine enough for any microphone.
constexpr uint32_t room_rate = 48000;

// The microphone's memory gives what was heard some time later.
constexpr uint64_t microphone_delay_us = 50'000;

}  // namespace

void Room::say(const std::string& path, std::function<void()> ended) {
  std::string error;
  sound_ = read_wav(path, room_rate, error);
  name_ = path;
  ended_ = std::move(ended);
  heard_ = 0;
  began_us_ = clock().now_us();
  if (error.empty()) return;
  console().report("say %s: %s", path.c_str(), error.c_str());
  if (ended_) ended_();
}

void Room::hear(uint64_t at_us, uint32_t rate, int16_t* samples, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const uint64_t now_us = at_us + static_cast<uint64_t>(i) * 1'000'000 / rate;
    const uint64_t position = now_us < began_us_ ? sound_.size() : (now_us - began_us_) * room_rate / 1'000'000;
    samples[i] = position < sound_.size() ? sound_[position] : static_cast<int16_t>(0);
    if (position < sound_.size()) heard_ += room_rate / rate;
  }
}

void Room::tick() {
  if (sound_.empty()) return;
  const uint64_t end_us = began_us_ + static_cast<uint64_t>(sound_.size()) * 1'000'000 / room_rate;
  if (clock().now_us() < end_us + microphone_delay_us) return;
  const uint64_t percent = (heard_ * 100 + sound_.size() / 2) / sound_.size();
  console().report("said %s heard=%u%%", name_.c_str(), static_cast<unsigned>(percent));
  sound_.clear();
  if (ended_) ended_();
}

Room& room() {
  static Room the_room;
  return the_room;
}

}  // namespace host
