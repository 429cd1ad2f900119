/* All of it is in the header; a target needs a file of its own. */

#include "CPrefetch.h"
