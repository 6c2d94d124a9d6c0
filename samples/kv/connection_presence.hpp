#pragma once
// kv: a connection, for the commands of other clients.

#include <memory>
#include <new>

#include <weir/weir.hpp>

#include "client.hpp"

namespace kv {

// Kept by whatever may reach the connection, also when that is gone.
class connection_presence : public presence, public std::enable_shared_from_this<connection_presence> {
 public:
  connection_presence(weir::core& home, weir::connection& client) : home_(home), client_(&client) {}

  void cut(way w) noexcept override {
    try {
      home_.post([self = shared_from_this(), w] {
        if (self->client_ == nullptr) return;
        if (w == way::reset)
          self->client_->abort();
        else
          self->client_->close();
      });
    } catch (const std::bad_alloc&) {  // it stays
    }
  }
  // On the connection's core, before the connection goes.
  void end() noexcept { client_ = nullptr; }

 private:
  weir::core& home_;
  weir::connection* client_;
};

// In a handler: ends the presence, whatever ends the handler.
class present {
 public:
  present(weir::core& home, weir::connection& client)
      : presence_(std::make_shared<connection_presence>(home, client)) {}
  present(const present&) = delete;
  present& operator=(const present&) = delete;
  ~present() { presence_->end(); }

  [[nodiscard]] std::shared_ptr<kv::presence> presence() const noexcept { return presence_; }

 private:
  std::shared_ptr<connection_presence> presence_;
};

}  // namespace kv
