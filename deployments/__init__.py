"""How the flows are deployed, and this computer as AWS."""
