#include "weir/task/detail/children.hpp"

#include <cerrno>

namespace weir::detail {

child::~child() {
  if (&home() != origin_) std::terminate();  // another thread may be running its frames
  owner_->forget(*this);
  origin_->unschedule(*this);
  abandon();
  frame_.destroy();
}

void child::start() {
  bool still_here = true;
  starting_ = &still_here;
  run_queue& here = *origin_;
  children& owner = *owner_;
  chain* const parent = here.now_runs(this);
  resume();
  here.now_runs(parent);
  if (!still_here) return;  // another thread may be running it by now
  starting_ = nullptr;
  if (!ended_) return;
  owner.child_ended(*this);
  if (parent != nullptr && owner.running_ == 0) owner.leave(*parent);
}

void child::leaving() noexcept {
  if (starting_ != nullptr) *std::exchange(starting_, nullptr) = false;
}

void child::finished() noexcept {
  if (origin_ == run_queue::current()) {
    ended_ = true;
    if (starting_ == nullptr) schedule();
  } else {
    // What the parent reads is written on its thread, by turn().
    home_again();
  }
}

void child::home_again() noexcept {
  remote_wake* const w = remote_wake::depart(*this);
  move_to(*origin_);
  origin_->deliver(w);
}

void child::turn() {
  if (!ended_ && !frame_.done()) return resume();
  ended_ = true;
  owner_->child_ended(*this);
}

void child::describe(char* text, std::size_t size) const noexcept {
  if (const auto* const waiting = owner_->waiting_)
    waiting->root->describe(text, size);
  else
    chain::describe(text, size);
}

void child::name_into(chain_name& name) const noexcept {
  if (const auto* const waiting = owner_->waiting_) waiting->root->name_into(name);
  name.root = resume_function_of(frame_);
}

void children::add(child& c) noexcept {
  c.next_ = first_;
  c.link_ = &first_;
  if (first_ != nullptr) first_->link_ = &c.next_;
  first_ = &c;
  if (running_++ != 0 || parent_ != nullptr) return;
  if (const run_queue* const here = run_queue::current(); here != nullptr) parent_ = here->running();
  if (parent_ != nullptr) parent_->child_group_added();
}

// Destroyed without a join: its parent may leave its thread again. A parent that does not run now is being
// destroyed itself, or has ended, and is not touched.
children::~children() {
  if (parent_ == nullptr) return;
  if (const run_queue* const here = run_queue::current(); here != nullptr && here->running() == parent_)
    leave(*parent_);
}

void children::leave(chain& parent) noexcept {
  if (parent_ != &parent) return;
  parent_ = nullptr;
  parent.child_group_removed();
}

void children::forget(child& c) noexcept {
  if (c.link_ == nullptr) return;
  *c.link_ = c.next_;
  if (c.next_ != nullptr) c.next_->link_ = c.link_;
  c.link_ = nullptr;
}

void children::cancel_all() noexcept {
  for (child* c = first_; c != nullptr; c = c->next_)
    if (!c->ended_) c->cancel();
}

void children::child_ended(child& c) noexcept {
  --running_;
  if (decisive_ == nullptr && (policy_ == policy::cancel_on_first || c.error())) {
    decisive_ = &c;
    cancel_all();
  }
  wait_operation* const waiting = running_ == 0 ? waiting_ : nullptr;
  reap(c);
  if (waiting == nullptr) return;
  // Now, not from the run queue: this is a turn.
  run_queue& here = waiting->root->home();
  chain* const before = here.now_runs(waiting->root);
  chain::proceed(*waiting);
  here.now_runs(before);
}

bool children::wait_operation::proceed(operation& op) noexcept {
  auto& self = static_cast<wait_operation&>(op);
  if (self.of->running_ != 0) return false;
  self.of->waiting_ = nullptr;
  self.of->leave(*op.root);
  return true;
}

bool children::wait_operation::cancel(operation& op, int error) noexcept {
  auto& self = static_cast<wait_operation&>(op);
  if (error == 0) {
    self.of->waiting_ = nullptr;
    return true;
  }
  self.cancelled = true;
  self.of->cancel_all();
  return false;  // it goes on when the children have ended
}

}  // namespace weir::detail
