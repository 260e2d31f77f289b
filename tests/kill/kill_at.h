// Kills this process at its n-th call that changes a file.
#pragma once

namespace sealcast::kill {

enum class Where {
  before,  // the call has no effect
  torn,    // a write does half of its bytes; other calls as before
  after,   // the call takes effect, but its caller never learns it
};

// nth: 1 is the next such call; 0: never. A program that preloads this sets them by environment: KILL_AT (nth) and
// KILL_WHERE (before, torn, after), counted from the program's start.
void at(long nth, Where where);
// Calls so far, since the last at().
long calls();

}  // namespace sealcast::kill
