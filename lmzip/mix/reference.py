class ReferenceMixer:
    def __init__(self, *a):
        raise NotImplementedError
