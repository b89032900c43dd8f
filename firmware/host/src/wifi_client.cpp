#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>

#include "WiFiClient.h"
#include "clock.h"
#include "lwip/sockets.h"
#include "radio.h"

namespace {

// Of the real core: lwIP's send buffer, the client's receive buffer, and how long a write may take.
constexpr size_t send_buffer_bytes = 5744;
constexpr size_t writable_bytes = 2881;  // free, for select() to say yes
constexpr size_t receive_buffer_bytes = 1436;
constexpr int write_attempts = 10;
constexpr uint64_t write_attempt_us = 1'000'000;

std::map<int, const WiFiClient*>& connections() {
  // Never destroyed: global connections end after it would be.
  static auto* const by_descriptor = new std::map<int, const WiFiClient*>;
  return *by_descriptor;
}

// Lets time pass until the socket is ready for `events`; false: it is not within `us`.
bool wait_ready(int fd, short events, uint64_t us) {
  host::clock().now_us();
  host::clock().may_block(us);
  pollfd watched{fd, events, 0};
  const bool ready = poll(&watched, 1, static_cast<int>(us / 1000)) == 1;
  host::clock().now_us();
  return ready;
}

// A TCP connection; below 0 when there is none within `timeout_ms`.
int open_connection(const addrinfo& address, int32_t timeout_ms) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fd;
  if (::connect(fd, address.ai_addr, address.ai_addrlen) == 0) return fd;
  int error = errno;
  if (error == EINPROGRESS && wait_ready(fd, POLLOUT, static_cast<uint64_t>(timeout_ms) * 1000)) {
    socklen_t size = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error == 0) return fd;
  close(fd);
  return -1;
}

}  // namespace

WiFiClient::~WiFiClient() { WiFiClient::stop(); }

int WiFiClient::connect(IPAddress address, uint16_t port) { return connect(address.toString().c_str(), port); }

int WiFiClient::connect(const char* host, uint16_t port) { return connect(host, port, timeout_ms_); }

int WiFiClient::connect(const char* host, uint16_t port, int32_t timeout_ms) {
  stop();
  timeout_ms_ = timeout_ms;
  if (!host::radio().associated()) return 0;
  if (!host::radio().carries()) {
    host::clock().wait(static_cast<uint64_t>(timeout_ms) * 1000);
    return 0;
  }
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  host::clock().may_block(static_cast<uint64_t>(timeout_ms) * 1000);
  if (getaddrinfo(host, std::to_string(port).c_str(), &hints, &found) != 0) return 0;
  socket_ = open_connection(*found, timeout_ms);
  freeaddrinfo(found);
  if (socket_ < 0) return 0;
  connections()[socket_] = this;
  ++host::radio().connects;
  return 1;
}

int WiFiClient::setNoDelay(bool no_delay) {
  const int value = no_delay ? 1 : 0;
  return setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value);
}

void WiFiClient::stop() {
  if (socket_ >= 0) {
    connections().erase(socket_);
    host::radio().close_socket(socket_);
  }
  socket_ = -1;
  received_.clear();
  taken_ = 0;
  kept_.clear();
}

size_t WiFiClient::write(uint8_t byte) { return write(&byte, 1); }

size_t WiFiClient::write(const uint8_t* bytes, size_t size) {
  size_t written = 0;
  for (int attempt = 0; attempt < write_attempts && written < size && socket_ >= 0; ++attempt) {
    if (!host::radio().carries()) {
      while (written < size && kept_.size() < send_buffer_bytes) kept_.push_back(bytes[written++]);
      if (written < size) host::clock().wait(write_attempt_us);
      continue;
    }
    if (!send_kept() || !wait_ready(socket_, POLLOUT, write_attempt_us)) continue;
    const int sent = send(bytes + written, size - written);
    if (sent < 0) stop();
    if (sent > 0) {
      written += static_cast<size_t>(sent);
      attempt = -1;
    }
  }
  return written;
}

bool WiFiClient::writable(int fd) {
  const auto found = connections().find(fd);
  if (found == connections().end()) return false;
  if (!host::radio().carries()) return send_buffer_bytes - found->second->kept_.size() >= writable_bytes;
  pollfd watched{fd, POLLOUT, 0};
  return poll(&watched, 1, 0) == 1;
}

void WiFiClient::reset_all() {
  // Linux sends a reset then, and says to this side that it had got one.
  const sockaddr nowhere{};
  for (const auto& connection : connections()) ::connect(connection.first, &nowhere, sizeof nowhere);
}

int lwip_select(int count, fd_set*, fd_set* writable, fd_set*, timeval*) {
  int ready = 0;
  for (int fd = 0; fd < count; ++fd) {
    if (!FD_ISSET(fd, writable)) continue;
    if (WiFiClient::writable(fd)) {
      ++ready;
    } else {
      FD_CLR(fd, writable);
    }
  }
  return ready;
}

int WiFiClient::available() {
  if (taken_ == received_.size()) fill();
  return static_cast<int>(received_.size() - taken_);
}

int WiFiClient::read() {
  uint8_t byte = 0;
  return read(&byte, 1) == 1 ? byte : -1;
}

int WiFiClient::read(uint8_t* bytes, size_t size) {
  size_t got = 0;
  while (got < size && available() > 0) bytes[got++] = received_[taken_++];
  return got > 0 || socket_ >= 0 ? static_cast<int>(got) : -1;
}

int WiFiClient::peek() { return available() > 0 ? received_[taken_] : -1; }

uint8_t WiFiClient::connected() {
  available();
  return socket_ >= 0 || taken_ < received_.size() ? 1 : 0;
}

// Takes what has arrived, and closes a connection that has ended.
void WiFiClient::fill() {
  received_.clear();
  taken_ = 0;
  if (socket_ < 0 || !host::radio().carries() || !send_kept()) return;
  uint8_t bytes[receive_buffer_bytes];
  const int got = receive(bytes, sizeof bytes);
  if (got < 0) stop();
  if (got > 0) received_.assign(bytes, bytes + got);
}

// Sends what was written while nothing got through. False: not all of it yet.
bool WiFiClient::send_kept() {
  while (!kept_.empty()) {
    const std::vector<uint8_t> bytes(kept_.begin(), kept_.end());
    const int sent = send(bytes.data(), bytes.size());
    if (sent < 0) stop();
    if (sent <= 0) return false;
    kept_.erase(kept_.begin(), kept_.begin() + sent);
  }
  return true;
}

int WiFiClient::receive(uint8_t* bytes, size_t size) {
  const ssize_t got = recv(socket_, bytes, size, 0);
  if (got > 0) host::radio().bytes_received += static_cast<uint64_t>(got);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  return got == 0 ? -1 : static_cast<int>(got);
}

int WiFiClient::send(const uint8_t* bytes, size_t size) {
  const ssize_t sent = ::send(socket_, bytes, size, MSG_NOSIGNAL);
  if (sent > 0) host::radio().bytes_sent += static_cast<uint64_t>(sent);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  return static_cast<int>(sent);
}
