// See algorithm.h: one file declares all that is needed.
#include <gloo/algorithm.h>
