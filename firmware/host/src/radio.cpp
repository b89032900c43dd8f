#include "radio.h"

#include <unistd.h>

#include "clock.h"
#include "console.h"

namespace host {

namespace {

// Finding the access point, authentication and DHCP; on a real board 0.5 to 3 s.
constexpr uint64_t joining_us = 300'000;
// Of the real station: beacons missed for so long.
constexpr uint64_t beacon_timeout_us = 6'000'000;

}  // namespace

void Radio::set(const std::string& state) {
  advance();
  if (state == "up") {
    air_ = Air::up;
    for (const int fd : orphans_) close(fd);
    orphans_.clear();
  } else if (state == "down") {
    air_ = Air::down;
  } else if (state == "silent") {
    air_ = Air::silent;
    silent_since_us_ = clock().now_us();
  } else {
    console().report("wifi takes up, down or silent, not '%s'", state.c_str());
    return;
  }
  console().report("wifi %s", state.c_str());
}

void Radio::join() {
  station_ = Station::joining;
  joining_since_us_ = clock().now_us();
}

// Brings the station to where the time that has passed brings it.
void Radio::advance() {
  const uint64_t now_us = clock().now_us();
  if (station_ == Station::associated &&
      (air_ == Air::down || (air_ == Air::silent && now_us - silent_since_us_ >= beacon_timeout_us))) {
    station_ = retries_ ? Station::joining : Station::refused;
    joining_since_us_ = now_us;
  }
  if (station_ != Station::joining || now_us - joining_since_us_ < joining_us) return;
  if (air_ == Air::up) {
    station_ = Station::associated;
  } else if (retries_) {
    joining_since_us_ = now_us;
  } else {
    station_ = Station::refused;
  }
}

bool Radio::associated() {
  advance();
  return station_ == Station::associated;
}

bool Radio::refused() {
  advance();
  return station_ == Station::refused;
}

bool Radio::carries() { return associated() && air_ == Air::up; }

void Radio::close_socket(int fd) {
  if (air_ == Air::up) {
    close(fd);
  } else {
    orphans_.push_back(fd);
  }
}

Radio& radio() {
  // Never destroyed: the program's global connections end after it would be.
  static Radio* const the_radio = new Radio;
  return *the_radio;
}

}  // namespace host
