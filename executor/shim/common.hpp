// What every part of the shim shares: the C++ half of executor/src/native.
//
// Each function is `extern "C"`, takes tensors as the pointers that tch holds, answers 0 or a code, and leaves the text of
// an error in a thread-local string. No C++ exception crosses into Rust.
#pragma once

#include <exception>
#include <string>

namespace pleach {

// The text of the last error of this thread.
std::string& last_error();

template <class Body>
int guarded(Body&& body) {
  try {
    body();
    return 0;
  } catch (const std::exception& error) {
    last_error() = error.what();
    return 1;
  } catch (...) {
    last_error() = "an exception that is not a std::exception";
    return 2;
  }
}

}  // namespace pleach
