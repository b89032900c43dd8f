#ifndef HOST_ARDUINO_NETWORKCLIENTSECURE_H
#define HOST_ARDUINO_NETWORKCLIENTSECURE_H

#include <memory>

#include "WiFiClient.h"

// TLS over a WiFiClient. Only with a CA certificate: the server must have one of that authority, for the name or the
// address that is connected to.
class NetworkClientSecure : public WiFiClient {
 public:
  NetworkClientSecure();
  ~NetworkClientSecure() override;

  // PEM; kept by reference, as on the board.
  void setCACert(const char* ca_certificate) { ca_certificate_ = ca_certificate; }
  void setHandshakeTimeout(unsigned long seconds) { handshake_timeout_ms_ = static_cast<uint32_t>(seconds) * 1000; }

  using WiFiClient::connect;
  int connect(const char* host, uint16_t port, int32_t timeout_ms) override;
  void stop() override;

 protected:
  int receive(uint8_t* bytes, size_t size) override;
  int send(const uint8_t* bytes, size_t size) override;

 private:
  struct Session;

  const char* ca_certificate_ = nullptr;
  uint32_t handshake_timeout_ms_ = 120'000;
  std::unique_ptr<Session> session_;
};

#endif
