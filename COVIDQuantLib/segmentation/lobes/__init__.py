"""The five lobes: from atlas and fissures, refined, connected, smoothed."""
