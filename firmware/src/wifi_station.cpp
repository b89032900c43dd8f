#include "wifi_station.h"

#include <Arduino.h>
#include <WiFi.h>

namespace shell {
namespace {

// An attempt with DHCP takes 2 to 6 s; one that has not succeeded by then will not. One that has failed is repeated
// sooner: a reply under way waits for config::link_away_timeout_ms only.
constexpr uint32_t attempt_ms = 10000;
constexpr uint32_t failed_attempt_ms = 3000;

}  // namespace

void WifiStation::begin(const Settings& settings, const char* hostname, uint32_t now_ms) {
  settings_ = &settings;
  WiFi.persistent(false);  // the credentials are kept once, by Settings
  WiFi.setHostname(hostname);
  WiFi.mode(WIFI_STA);
  // In modem sleep the radio hears the access point every 100 ms or less often: replies would come in bursts.
  WiFi.setSleep(false);
  // One place retries, here.
  WiFi.setAutoReconnect(false);
  try_now(now_ms);
}

void WifiStation::try_now(uint32_t now_ms) {
  if (settings_->get(Key::WifiSsid)[0] == '\0') return;
  tried_at_ms_ = now_ms;
  WiFi.disconnect();
  const char* password = settings_->get(Key::WifiPassword);
  WiFi.begin(settings_->get(Key::WifiSsid), password[0] == '\0' ? nullptr : password);
}

void WifiStation::poll(uint32_t now_ms) {
  const wl_status_t status = WiFi.status();
  const bool connected = status == WL_CONNECTED;
  if (connected != connected_) {
    connected_ = connected;
    told_ = false;
    if (connected) {
      Serial.printf("wifi: connected to %s, address %s\n", settings_->get(Key::WifiSsid),
                    WiFi.localIP().toString().c_str());
    } else {
      Serial.println("wifi: connection lost");
      try_now(now_ms);
    }
  }
  if (connected) return;
  if (settings_->get(Key::WifiSsid)[0] == '\0') {
    if (!told_) Serial.println("wifi: no network set. Try: set wifi_ssid <name>, set wifi_password <password>, save");
    told_ = true;
    return;
  }
  const bool failed = status == WL_NO_SSID_AVAIL || status == WL_CONNECT_FAILED;
  if (now_ms - tried_at_ms_ < (failed ? failed_attempt_ms : attempt_ms)) return;
  if (!told_) {
    if (status == WL_NO_SSID_AVAIL) {
      Serial.printf("wifi: no network called %s is in reach (2.4 GHz only); still trying\n",
                    settings_->get(Key::WifiSsid));
    } else {
      Serial.printf("wifi: %s does not let this device in (status %d); check wifi_password; still trying\n",
                    settings_->get(Key::WifiSsid), static_cast<int>(status));
    }
    told_ = true;
  }
  try_now(now_ms);
}

}  // namespace shell
