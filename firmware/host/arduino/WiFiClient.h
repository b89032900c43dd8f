#ifndef HOST_ARDUINO_WIFICLIENT_H
#define HOST_ARDUINO_WIFICLIENT_H

#include <deque>
#include <vector>

#include "Client.h"

// A TCP connection over the board's WiFi.
//
// What the board's own TCP does while nothing gets through is kept: writes are accepted until its send buffer is full,
// then each blocks for up to 10 s; the connection looks alive; and it goes on if the network is back in time.
class WiFiClient : public Client {
 public:
  ~WiFiClient() override;

  int connect(IPAddress address, uint16_t port) override;
  int connect(const char* host, uint16_t port) override;
  virtual int connect(const char* host, uint16_t port, int32_t timeout_ms);
  void setConnectionTimeout(uint32_t ms) { timeout_ms_ = static_cast<int32_t>(ms); }
  int setNoDelay(bool no_delay);

  using Print::write;
  size_t write(uint8_t byte) override;
  size_t write(const uint8_t* bytes, size_t size) override;
  int available() override;
  int read() override;
  int read(uint8_t* bytes, size_t size) override;
  int peek() override;
  void flush() override {}
  void stop() override;
  uint8_t connected() override;
  operator bool() override { return connected() != 0; }
  // Below 0: there is no connection.
  int fd() const { return socket_; }

  // Whether the connection of this descriptor takes more without blocking.
  static bool writable(int fd);
  // The other side's, or a router's, end of every connection: with a reset, without a word before.
  static void reset_all();

 protected:
  // What TLS puts something in between. Bytes moved; 0 when it would block; below 0 when the connection has ended.
  virtual int receive(uint8_t* bytes, size_t size);
  virtual int send(const uint8_t* bytes, size_t size);

 private:
  void fill();
  bool send_kept();

  int socket_ = -1;
  int32_t timeout_ms_ = 3000;
  std::vector<uint8_t> received_;
  size_t taken_ = 0;
  std::deque<uint8_t> kept_;
};

#endif
