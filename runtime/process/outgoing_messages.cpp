#include "weir/process/detail/outgoing_messages.hpp"

namespace weir::process {

descriptor_channel::sent outgoing_messages::send(descriptor_channel& to, const message& m) {
  using sent = descriptor_channel::sent;
  if (flush(to)) {
    const sent how = to.send(m);
    if (how != sent::full) return how;
  }
  if (!kept_.empty() && m.what == message::kind::placed && kept_.back().what == m.what) {
    kept_.back().number += m.number;
    return sent::full;
  }
  // An acknowledgement speaks for all earlier ones.
  const bool replaces = !kept_.empty() && kept_.back().what == m.what &&
                        (m.what == message::kind::taken || kept_.back().number == m.number);
  if (replaces)
    kept_.back() = m;
  else
    kept_.push_back(m);
  return sent::full;
}

bool outgoing_messages::flush(descriptor_channel& to) noexcept {
  while (!kept_.empty()) {
    const auto how = to.send(kept_.front());
    if (how == descriptor_channel::sent::full) return false;
    if (how == descriptor_channel::sent::gone) {
      kept_.clear();
      break;
    }
    kept_.pop_front();
  }
  return true;
}

}  // namespace weir::process
