"""What several tests share: models, collections and servers made small."""
