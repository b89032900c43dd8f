#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "NetworkClientSecure.h"
#include "clock.h"
#include "console.h"

struct NetworkClientSecure::Session {
  ~Session() {
    SSL_free(ssl);
    SSL_CTX_free(context);
  }

  SSL_CTX* context = nullptr;
  SSL* ssl = nullptr;
};

namespace {

constexpr uint64_t retry_us = 1'000;

bool trust(SSL_CTX* context, const char* pem) {
  BIO* const text = BIO_new_mem_buf(pem, -1);
  X509* const certificate = PEM_read_bio_X509(text, nullptr, nullptr, nullptr);
  BIO_free(text);
  const bool added = certificate != nullptr && X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate) == 1;
  X509_free(certificate);
  return added;
}

bool expect(SSL* ssl, const char* host) {
  in_addr address{};
  if (inet_pton(AF_INET, host, &address) == 1) {
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
  }
  return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

// What SSL_read and SSL_write said, as WiFiClient wants it.
int moved(SSL* ssl, int result) {
  if (result > 0) return result;
  const int error = SSL_get_error(ssl, result);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

}  // namespace

NetworkClientSecure::NetworkClientSecure() = default;

NetworkClientSecure::~NetworkClientSecure() = default;

int NetworkClientSecure::connect(const char* host, uint16_t port, int32_t timeout_ms) {
  if (ca_certificate_ == nullptr) {
    host::console().report("tls: setCACert() was not called; without it nobody would be trusted");
    return 0;
  }
  if (WiFiClient::connect(host, port, timeout_ms) == 0) return 0;
  session_ = std::make_unique<Session>();
  session_->context = SSL_CTX_new(TLS_client_method());
  session_->ssl = SSL_new(session_->context);
  SSL_CTX_set_verify(session_->context, SSL_VERIFY_PEER, nullptr);
  SSL_set_verify(session_->ssl, SSL_VERIFY_PEER, nullptr);
  if (!trust(session_->context, ca_certificate_) || !expect(session_->ssl, host) ||
      SSL_set_fd(session_->ssl, fd()) != 1) {
    host::console().report("tls: the CA certificate cannot be read");
    stop();
    return 0;
  }
  const uint32_t began_ms = host::clock().millis();
  ERR_clear_error();
  int result = SSL_connect(session_->ssl);
  while (result != 1 && moved(session_->ssl, result) == 0 &&
         host::clock().millis() - began_ms < handshake_timeout_ms_) {
    host::clock().wait(retry_us, fd());
    result = SSL_connect(session_->ssl);
  }
  if (result == 1) return 1;
  const char* const reason = ERR_reason_error_string(ERR_peek_last_error());
  host::console().report("tls: %s", reason == nullptr ? "the handshake was not completed" : reason);
  stop();
  return 0;
}

void NetworkClientSecure::stop() {
  session_.reset();
  WiFiClient::stop();
}

int NetworkClientSecure::receive(uint8_t* bytes, size_t size) {
  ERR_clear_error();
  return moved(session_->ssl, SSL_read(session_->ssl, bytes, static_cast<int>(size)));
}

int NetworkClientSecure::send(const uint8_t* bytes, size_t size) {
  ERR_clear_error();
  return moved(session_->ssl, SSL_write(session_->ssl, bytes, static_cast<int>(size)));
}
