"""DEXTR: extreme points. The network itself is in `nets`."""
