// Arrays as large as what they tell: the size of a type of the target is read from the object file, since the target's
// code does not run here.
#include "voice_core/node.h"

char size_of_node[sizeof(voice::Node)];
char ram_budget[voice::config::ram_budget_bytes];
