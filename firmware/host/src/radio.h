// The WiFi network as the board finds it.
#ifndef HOST_RADIO_H
#define HOST_RADIO_H

#include <stdint.h>

#include <string>
#include <vector>

namespace host {

class Radio {
 public:
  // "up", "down" (the station is told) or "silent" (it notices after missing beacons for 6 s).
  void set(const std::string& state);

  // The station's side: it looks for its access point once, or, where `retry` says so, until it is found.
  void join();
  void leave() { station_ = Station::off; }
  void retry(bool wanted) { retries_ = wanted; }

  // What the station knows: it has an address, or believes so; or there was no access point.
  bool associated();
  bool refused();
  // What is the case: packets get through.
  bool carries();

  // Closes a socket. While nothing gets through the other side does not learn of it: the socket is closed when the
  // network is back.
  void close_socket(int fd);

  uint64_t connects = 0;
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;

 private:
  enum class Air { up, down, silent };
  enum class Station { off, joining, refused, associated };

  void advance();

  Air air_ = Air::up;
  Station station_ = Station::off;
  bool retries_ = true;
  uint64_t silent_since_us_ = 0;
  uint64_t joining_since_us_ = 0;
  std::vector<int> orphans_;
};

Radio& radio();

}  // namespace host

#endif
