#include "console.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"

namespace host {

namespace {

constexpr size_t longest_line = 4096;
// 115200 baud, 10 bits a byte.
constexpr uint64_t serial_bytes_per_s = 11'520;

volatile sig_atomic_t interrupted = 0;

bool input_ready() {
  pollfd watched{STDIN_FILENO, POLLIN, 0};
  return ::poll(&watched, 1, 0) == 1;
}

}  // namespace

void Console::begin() {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  struct sigaction action {};
  action.sa_handler = [](int) { interrupted = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

void Console::poll(uint64_t us) {
  clock().wait(us, STDIN_FILENO);
  // What the serial line has brought since the last look: much, if the program was busy meanwhile.
  const uint64_t now_us = clock().now_us();
  uint64_t arrived = (now_us - polled_at_us_) * serial_bytes_per_s / 1'000'000;
  polled_at_us_ = now_us;
  // Byte by byte: a restart (exec) must not lose lines in a buffer of the process that was.
  while (!ended() && input_ready()) {
    char byte = 0;
    if (read(STDIN_FILENO, &byte, 1) != 1) {
      end();
    } else if (byte == '\n') {
      const size_t size = line_.size() + 1;
      if (take_line() || size > arrived) return;
      arrived -= size;
    } else if (line_.size() < longest_line) {
      line_ += byte;
    }
  }
}

bool Console::ended() const { return ended_ || interrupted; }

bool Console::take_line() {
  std::string line;
  line.swap(line_);
  if (!line.empty() && line[0] == '!') {
    run_command(line);
    return true;
  }
  line += '\n';
  for (const char byte : line) {
    if (serial_input_.size() < serial_buffer_bytes_) serial_input_.push_back(static_cast<uint8_t>(byte));
  }
  return false;
}

void Console::report(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  printf("!%s\n", text);
}

void Console::serial_output(const uint8_t* bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    if (bytes[i] == '\r') continue;
    serial_line_ += static_cast<char>(bytes[i]);
    if (bytes[i] == '\n' || serial_line_.size() > longest_line) flush();
  }
}

void Console::flush() {
  fwrite(serial_line_.data(), 1, serial_line_.size(), stdout);
  fflush(stdout);
  serial_line_.clear();
}

Console& console() {
  static Console the_console;
  return the_console;
}

}  // namespace host
