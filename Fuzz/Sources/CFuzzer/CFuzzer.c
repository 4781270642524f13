/// CFuzzer: see include/CFuzzer.h.
#include "CFuzzer.h"
